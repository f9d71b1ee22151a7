"""Dictionaries of features: where an association is, and what happens without it."""
