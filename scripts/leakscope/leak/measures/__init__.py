"""Measures of leakage in texts: match rates, Leak-Rates and logit leaks, with tests, comparisons and power."""
