"""What can be said of an item of the match test, by people and by judges, and in which orders an item can be shown."""

from __future__ import annotations

FIRST, SECOND, CANNOT_TELL, UNPARSABLE = "first", "second", "cannot_tell", "unparsable"
# Which of an item's two texts, or concepts, is shown first.
ORDERS = ("12", "21")
