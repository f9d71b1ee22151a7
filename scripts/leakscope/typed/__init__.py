"""Typed sections for users' YAML, with error messages and the JSON schema."""
