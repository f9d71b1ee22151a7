"""Counts in a corpus, a model's scores and real-world prevalence for two lexicons: rankings and their agreement."""
