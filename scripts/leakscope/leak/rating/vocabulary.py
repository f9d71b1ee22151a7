"""Possible answers to an item of the match test, by people and judges, and possible orders of an item."""

from __future__ import annotations

FIRST, SECOND, CANNOT_TELL, UNPARSABLE = "first", "second", "cannot_tell", "unparsable"
# Orders of an item's two texts, or concepts.
ORDERS = ("12", "21")
