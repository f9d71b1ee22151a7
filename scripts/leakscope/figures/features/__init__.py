"""Figures of the step `features`."""
