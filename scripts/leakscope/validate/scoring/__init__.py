"""Scores of models as generator and as validator: log-odds, ranks, completions, layers."""
