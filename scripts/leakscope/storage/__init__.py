"""Values that were computed once, and what they are stored under."""
