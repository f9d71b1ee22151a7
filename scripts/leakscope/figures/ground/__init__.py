"""Figures of the step `ground`."""
