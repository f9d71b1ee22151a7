"""Dictionaries of features: which features carry an association, and what the model does without them."""
