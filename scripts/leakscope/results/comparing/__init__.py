"""Two results side by side: what differs in their settings, and what differs in what they found."""
