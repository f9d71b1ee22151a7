"""Tasks: items, prompt forms, and how a task is put to a model."""
