"""Models that think before they answer: generation and scoring of thought and answer, and the measured text."""
