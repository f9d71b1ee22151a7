"""What is known of each feature: when it fires, what it promotes, what it stands for."""
