"""Models that write a train of thought before they answer: both are written here, and one is measured."""
