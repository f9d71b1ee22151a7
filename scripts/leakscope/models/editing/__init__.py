"""The residual stream of a model: reading, editing, and decomposition by sparse dictionaries."""
