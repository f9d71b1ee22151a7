"""Tasks as data: items, each a question, a candidate answer, and whether the candidate is right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypedDict

import pandas as pd

from leakscope.errors import InputError, one_of

ITEM_COLUMNS = ["item_id", "question", "candidate", "positive", "cluster", "distance"]
DISTANCES = ("none", "near", "far")
UNKNOWN = "none"
"""The distance of a positive, and of a negative of which it is not known."""

RANK = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?", re.ASCII)
LABELS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class Item(TypedDict):
    """A row of a table of items.

    item_id: its name, once in a table.
    question: what the candidate answers: a noun, a passage, a question.
    candidate: the answer that is generated or judged.
    positive: whether it is right.
    cluster: items of one cluster count as one for intervals, and none is an example for another.
    distance: of a negative from the right answer: near, far, or none where that is not known; none of a positive.
    """

    item_id: str
    question: str
    candidate: str
    positive: bool
    cluster: str
    distance: str


def item_table(items: Iterable[Mapping[str, object]], where: str) -> pd.DataFrame:
    """Return items as a table with ``ITEM_COLUMNS``, in their order: ``positive`` boolean, all else text.

    Args:
        items: mappings with the keys of ``Item``.
        where: they come from, for messages.

    Raises:
        InputError: a text is empty, an id or a pair of question and candidate stands twice, a positive has a distance,
            or one of the two kinds, positive and negative, is lacking.
    """
    table = pd.DataFrame(list(items), columns=ITEM_COLUMNS)
    for column in ("item_id", "question", "candidate", "cluster"):
        refuse_empty(table, column, where)
    for columns in (["item_id"], ["question", "candidate"]):
        refuse_twice(table, columns, where)
    for item, distance, positive in zip(table["item_id"], table["distance"], table["positive"], strict=True):
        if RANK.fullmatch(str(distance)):
            allowed = f"{', '.join(DISTANCES)}, or no such column: a rank says neither, and no distance is analysed"
            raise InputError(f"{where}: item {item!r}: key 'distance': got the number {distance}; allowed: {allowed}.")
        if distance not in DISTANCES:
            raise one_of(f"{where}: item {item!r}: key 'distance'", distance, DISTANCES)
        if positive and distance != UNKNOWN:
            raise InputError(
                f"{where}: item {item!r}: got the distance {distance!r} of a positive; allowed: {UNKNOWN}."
            )
    for kind, lacking in (("positive", not table["positive"].any()), ("negative", bool(table["positive"].all()))):
        if lacking:
            raise InputError(f"{where}: got no {kind} among {len(table)} items; allowed: both kinds.")
    texts = {column: "str" for column in ITEM_COLUMNS if column != "positive"}
    return table.astype({**texts, "positive": "bool"})


def read_label(text: str, where: str) -> bool:
    """Return whether a cell says that a candidate is right; case does not count.

    Raises:
        InputError: the cell says neither.
    """
    label = LABELS.get(text.strip().casefold())
    if label is None:
        raise InputError(f"{where}: got {text!r}; allowed: {', '.join(LABELS)}, in any case.")
    return label


def refuse_empty(table: pd.DataFrame, column: str, where: str) -> None:
    """Raise an error that names the first row without text in ``column``."""
    empty = table[column].fillna("").astype("str").str.strip().eq("").to_numpy()
    if empty.any():
        row = int(empty.argmax())
        raise InputError(f"{where}, item {row + 1}: column {column!r}: got nothing; allowed: text.")


def refuse_twice(table: pd.DataFrame, columns: list[str], where: str) -> None:
    """Raise an error that names the first row that repeats the values of ``columns``; case does not count."""
    folded = table[columns].apply(lambda texts: texts.astype("str").str.casefold())
    again = folded.duplicated().to_numpy()
    if again.any():
        row = int(again.argmax())
        values = ", ".join(f"{column} {table[column].iloc[row]!r}" for column in columns)
        raise InputError(f"{where}, item {row + 1}: got {values} again; allowed: each once.")
