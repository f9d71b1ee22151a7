"""Confidence intervals, permutation tests and power, shared by several steps."""
