"""Training of models and adapters, shared by all steps that train."""
