"""Reading and writing files: users' inputs and the workflow's outputs."""
