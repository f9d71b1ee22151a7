"""Names that mean the same in every table."""

POOLED = "all"
"""What pools all categories, parts or kinds of a table stands under this name."""
