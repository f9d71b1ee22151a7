"""The page of the step: every association with its links, and what they say of each other."""
