"""Intervals and resampling that several steps use."""
