"""Figures of the step ``trace``."""
