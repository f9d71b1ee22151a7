"""Edits of features: what they do to a contrast, what they cost, and texts written with them."""
