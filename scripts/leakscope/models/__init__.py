"""Language models: opened, checked, prompted, read and left to write."""
