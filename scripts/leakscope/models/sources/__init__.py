"""Where models come from: the hub, a Python package, a GGUF file; each becomes a folder that transformers loads."""
