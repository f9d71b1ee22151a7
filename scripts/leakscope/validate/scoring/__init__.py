"""What models say as generator and as validator: log-odds, ranks, completions, layers."""
