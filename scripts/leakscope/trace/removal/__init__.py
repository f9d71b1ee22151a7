"""Mitigations: the leak that remains, the use of the concept that is kept, and the cost in perplexity."""
