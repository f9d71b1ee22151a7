"""Training a model, or an adapter laid upon it: what all steps share that train one."""
