"""The measured text of a thinking model: its answer, its thought, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Columns of such a model's texts beside those of all others.
THOUGHT, FINISHED = "thought", "finished"
# Between thought and answer where both are one text.
BETWEEN = "\n"


def measured_text(record: Mapping[str, Any], measure: str) -> str:
    """Return the measured text; always empty if the thought did not end.

    Args:
        record: ``thought`` and ``text`` (the answer), and whether the thought has ``finished``.
        measure: ``answer``, ``thought`` or ``both``: the thought, a line break, the answer.
    """
    if not record[FINISHED]:
        return ""
    parts = {"answer": [record["text"]], "thought": [record[THOUGHT]], "both": [record[THOUGHT], record["text"]]}
    return BETWEEN.join(filter(None, parts[measure]))


def thought_columns(records: Sequence[Mapping[str, Any]], measure: str) -> dict[str, list[Any]]:
    """Return the columns ``text, thought, finished`` of texts, from what is stored of them (see ``measured_text``)."""
    return {
        "text": [measured_text(record, measure) for record in records],
        THOUGHT: [record[THOUGHT] for record in records],
        FINISHED: [bool(record[FINISHED]) for record in records],
    }


def n_unfinished(records: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of thoughts that did not end within their budget."""
    return sum(not record[FINISHED] for record in records)
