"""Tasks: items, splits, prompt forms, and prompting of models."""
