"""Texts, rates and prompts in the forms of other tools, and texts that come from these."""
