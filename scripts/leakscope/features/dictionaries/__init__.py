"""Sparse dictionaries: the activations they learn from, their training, and how good they are."""
