"""Models that are changed so that they leak less, and that all steps open like any other."""
