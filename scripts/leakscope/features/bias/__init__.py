"""Benchmarks of stereotypes, before and after an edit."""
