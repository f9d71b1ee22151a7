"""Closing the gap: training a model so that it affirms what it generates, or generates what it affirms."""
