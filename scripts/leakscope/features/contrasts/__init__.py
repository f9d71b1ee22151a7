"""Contrasts: texts of two sides, and the features that tell them apart."""
