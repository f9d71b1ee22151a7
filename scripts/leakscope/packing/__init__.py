"""A study's results as one file, to be taken to another machine."""
