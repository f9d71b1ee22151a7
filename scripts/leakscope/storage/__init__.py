"""The store of values that are computed once, and the fingerprints under which they are stored."""
