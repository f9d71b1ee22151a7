"""The configuration: checked, completed, described."""
