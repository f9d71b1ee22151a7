"""Co-occurrence counts of concepts in a corpus."""
