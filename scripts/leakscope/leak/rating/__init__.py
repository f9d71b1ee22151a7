"""What judges and people say of the match test."""
