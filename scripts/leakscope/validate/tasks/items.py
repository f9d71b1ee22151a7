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
"""The distance of positives, and of negatives with unknown distance."""

RANK = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?", re.ASCII)
LABELS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class Item(TypedDict):
    """A row of a table of items.

    item_id: unique in a table.
    question: a noun, a passage or a question that the candidate answers.
    candidate: the answer to be generated or judged.
    positive: whether the candidate is right.
    cluster: cluster for intervals; items of a cluster are never shots for each other.
    distance: of a negative from the right answer: near, far, or none if unknown; none for positives.
    """

    item_id: str
    question: str
    candidate: str
    positive: bool
    cluster: str
    distance: str


def item_table(items: Iterable[Mapping[str, object]], where: str) -> pd.DataFrame:
    """Return a validated table of items with ``ITEM_COLUMNS``, in order: ``positive`` boolean, the others text.

    Args:
        items: mappings with the keys of ``Item``.
        where: their source, for messages.

    Raises:
        InputError: a text is empty, an id or a pair of question and candidate is repeated, a positive has a distance,
            or positives or negatives are missing.
    """
    table = pd.DataFrame(list(items), columns=ITEM_COLUMNS)
    for column in ("item_id", "question", "candidate", "cluster"):
        refuse_empty(table, column, where)
    for columns in (["item_id"], ["question", "candidate"]):
        refuse_twice(table, columns, where)
    for item, distance, positive in zip(table["item_id"], table["distance"], table["positive"], strict=True):
        if RANK.fullmatch(str(distance)):
            allowed = f"{', '.join(DISTANCES)}, or no such column; a rank is not a distance"
            raise InputError(f"{where}: item {item!r}: key 'distance': got the number {distance}; allowed: {allowed}.")
        if distance not in DISTANCES:
            raise one_of(f"{where}: item {item!r}: key 'distance'", distance, DISTANCES)
        if positive and distance != UNKNOWN:
            raise InputError(
                f"{where}: item {item!r}: got the distance {distance!r} of a positive item; allowed: {UNKNOWN}."
            )
    for kind, lacking in (("positive", not table["positive"].any()), ("negative", bool(table["positive"].all()))):
        if lacking:
            raise InputError(f"{where}: got no {kind} among {len(table)} items; allowed: both kinds.")
    texts = {column: "str" for column in ITEM_COLUMNS if column != "positive"}
    return table.astype({**texts, "positive": "bool"})


def read_label(text: str, where: str) -> bool:
    """Return whether a cell labels a candidate as right; case is ignored.

    Raises:
        InputError: the cell is neither a positive nor a negative label.
    """
    label = LABELS.get(text.strip().casefold())
    if label is None:
        raise InputError(f"{where}: got {text!r}; allowed: {', '.join(LABELS)}, in any case.")
    return label


def refuse_empty(table: pd.DataFrame, column: str, where: str) -> None:
    """Raise an InputError for the first row without text in ``column``."""
    empty = table[column].fillna("").astype("str").str.strip().eq("").to_numpy()
    if empty.any():
        row = int(empty.argmax())
        raise InputError(f"{where}, item {row + 1}: column {column!r}: got nothing; allowed: text.")


def refuse_twice(table: pd.DataFrame, columns: list[str], where: str) -> None:
    """Raise an InputError for the first row that repeats the values of ``columns``; case is ignored."""
    folded = table[columns].apply(lambda texts: texts.astype("str").str.casefold())
    again = folded.duplicated().to_numpy()
    if again.any():
        row = int(again.argmax())
        values = ", ".join(f"{column} {table[column].iloc[row]!r}" for column in columns)
        raise InputError(f"{where}, item {row + 1}: got {values} again; allowed: each once.")
