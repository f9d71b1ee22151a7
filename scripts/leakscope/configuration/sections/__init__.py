"""The sections of the configuration: keys, types, defaults and meaning."""
