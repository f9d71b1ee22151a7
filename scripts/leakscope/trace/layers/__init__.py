"""Where in a model an association is: activation patching, and the logit lens of the leak."""
