"""Intervals, tests and what they could detect, for several steps."""
