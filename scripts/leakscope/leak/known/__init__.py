"""Known rates of organisms, computed from their laws, and the error of measured rates."""
