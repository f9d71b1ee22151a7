"""How similar a text is to a concept."""
