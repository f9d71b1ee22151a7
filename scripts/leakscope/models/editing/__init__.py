"""The residual stream of a model: read, edited, and taken apart by dictionaries."""
