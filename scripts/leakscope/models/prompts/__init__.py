"""Prompts as a model reads them: where their clause stands, rendered, and turned into token ids."""
