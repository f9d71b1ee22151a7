"""Servers that are asked, and pages that are written."""
