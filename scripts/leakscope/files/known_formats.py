"""Public data sets recognised by their columns, so that an error can name the data set and where to use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class KnownFormat(NamedTuple):
    """A published format of a data set.

    columns: the columns that identify it.
    what: its content.
    advice: where to use it.
    """

    columns: frozenset[str]
    what: str
    advice: str


FORMATS = (
    KnownFormat(
        frozenset({"question_polarity", "context_condition"}),
        "questions of BBQ, with three answers each",
        "No step scores answers to questions; contexts and questions can be prompts in such a table.",
    ),
    KnownFormat(
        frozenset({"sentid", "sentence"}),
        "sentences of Winogender",
        "It is a benchmark of the step features, `format: winogender`.",
    ),
    KnownFormat(
        frozenset({"occupation(0)", "other-participant(1)"}),
        "templates of Winogender",
        "Its all_sentences.tsv is a benchmark of the step features, `format: winogender`.",
    ),
    KnownFormat(
        frozenset({"sent_more", "sent_less"}),
        "pairs of CrowS-Pairs",
        "It is a benchmark of the step features, `format: crows_pairs`.",
    ),
)


def known_format(columns: Iterable[object]) -> KnownFormat | None:
    """Return the published format with these columns; None if it is unknown."""
    names = set(map(str, columns))
    return next((known for known in FORMATS if known.columns <= names), None)
