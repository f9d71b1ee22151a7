"""Figures of the step `validate`."""
