"""Checks of a model's folder before the model is loaded: files, chat template, thoughts, unused settings."""
