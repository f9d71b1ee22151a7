"""What differs from language to language: where sentences end, which words a text has, how a word is inflected."""
