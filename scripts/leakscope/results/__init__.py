"""The result page of a study: a headline from its numbers, one figure, what speaks against them, and links."""
