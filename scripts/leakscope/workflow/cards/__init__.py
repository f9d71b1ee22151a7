"""Cards of models: the standard choice that they are measured by, and the study of a card."""
