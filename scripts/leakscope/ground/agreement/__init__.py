"""Rankings of groups by counts, model scores and prevalence, and their agreement."""
