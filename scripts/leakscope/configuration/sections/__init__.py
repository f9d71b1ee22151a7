"""Each section of the configuration: its keys, what they hold, their defaults and their meaning."""
