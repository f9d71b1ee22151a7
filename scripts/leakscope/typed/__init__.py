"""What people write in YAML: typed sections, what is wrong with what was written, and the schema of it."""
