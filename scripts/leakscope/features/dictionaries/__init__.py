"""Sparse dictionaries: training activations, training and quality."""
