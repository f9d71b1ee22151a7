"""The page of the step: every association with its links, and the relations between links."""
