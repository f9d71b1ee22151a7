"""Clients for language-model servers, and parts of HTML pages."""
