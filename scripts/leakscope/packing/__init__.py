"""Packing a study's results into one file, to move them to another machine."""
