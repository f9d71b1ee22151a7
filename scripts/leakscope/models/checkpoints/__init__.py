"""What a model's folder says before the model is loaded, and what of it cannot be followed."""
