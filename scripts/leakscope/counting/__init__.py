"""How often two concepts stand near each other in a corpus."""
