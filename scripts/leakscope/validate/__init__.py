"""The generator–validator gap: log-odds of a candidate as a completion, and of yes when asked about it."""
