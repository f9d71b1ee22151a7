"""Does a model affirm what it generates: log-odds of a candidate as a completion, and of yes when asked about it."""
