"""Figures of the step `leak`."""
