"""Description of features: when they fire, what they promote, what they mean."""
