"""Does a concept surface in what a model writes? The step `leak`."""
