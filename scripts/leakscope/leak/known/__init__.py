"""Rates of organisms that are known, from their laws, and how far measured ones are from them."""
