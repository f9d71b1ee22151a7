"""Contrasts: texts of two sides, and the features that distinguish the sides."""
