"""Rankings by counts, models and the world, and how far they agree."""
