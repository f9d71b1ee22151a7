"""Figures of a study: tidy tables in, matplotlib figures out."""
