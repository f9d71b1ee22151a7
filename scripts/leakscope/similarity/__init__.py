"""Scorers of the similarity between a text and a concept, with their encoders."""
