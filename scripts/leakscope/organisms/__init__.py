"""Organisms: grammars, corpora written from them, and models trained on these."""
