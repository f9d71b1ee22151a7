"""Reading and writing files: what people bring, and what the workflow writes."""
