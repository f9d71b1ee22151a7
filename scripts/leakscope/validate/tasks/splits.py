"""Splits of a task's items, made once and kept as a table: random, by held-out candidates, disjoint in both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from leakscope.errors import InputError, one_of
from leakscope.files.tables import write_csv
from leakscope.statistics.seeding import seeded_hash
from leakscope.validate.tasks.readers import read_records

SPLIT_COLUMNS = ["item_id", "split", "method", "seed"]
TRAIN, TEST, UNUSED = "train", "test", "unused"
SPLITS = (TRAIN, TEST, UNUSED)

Method = Callable[[pd.DataFrame, float, int], list[str]]


def split_items(items: pd.DataFrame, method: str, test_share: float, seed: int) -> pd.DataFrame:
    """Return ``SPLIT_COLUMNS``: the split of every item, in the order of items.

    The same items, in whatever order, get the same splits from the same seed.

    Args:
        items: as ``items.item_table`` returns them.
        method: ``random``: items; ``held_out``: candidates, so that no candidate of the test items is trained on;
            ``disjoint``: questions and candidates, so that neither is; what joins one of the training items with one of
            the test items is then ``unused``.
        test_share: of the items, candidates, or both questions and candidates that are for testing; above 0, below 1.
        seed: of the draw.

    Raises:
        InputError: there is no such method, the share is out of range, or training or test items lack positives or
            negatives.
    """
    if method not in METHODS:
        raise one_of("splits: method", method, METHODS)
    if not 0 < test_share < 1:
        raise InputError(f"splits: test share: got {test_share!r}; allowed: a number above 0 and below 1.")
    splits = pd.Series(METHODS[method](items, test_share, seed), index=items.index, dtype="str")
    for split in (TRAIN, TEST):
        for positive, kind in ((True, "positive"), (False, "negative")):
            if not (splits.eq(split) & items["positive"].eq(positive)).any():
                raise InputError(
                    f"splits: method {method!r}, seed {seed}: got no {kind} item to {split} on, of {len(items)} items; "
                    f"allowed: at least one (now test share {test_share})."
                )
    table = pd.DataFrame({"item_id": items["item_id"], "split": splits}).reset_index(drop=True)
    return table.assign(method=method, seed=seed)[SPLIT_COLUMNS]


def write_splits(splits: pd.DataFrame, path: Path) -> None:
    """Write splits as CSV, in the order of their item ids, so that equal splits give equal bytes."""
    write_csv(splits.sort_values("item_id", ignore_index=True), path)


def read_splits(path: Path, items: pd.DataFrame) -> pd.Series:
    """Return the split of each item, with the index of ``items``, from a file of splits.

    Raises:
        InputError: a column is missing, an item stands twice, has no split or one that is unknown.
    """
    rows = read_records(path, ["item_id", "split"])
    split_of: dict[str, str] = {}
    for i, row in enumerate(rows, 1):
        name, split = row["item_id"], row["split"]
        if split not in SPLITS:
            raise one_of(f"{path}, item {i}: column 'split'", split, SPLITS)
        if name in split_of:
            raise InputError(f"{path}, item {i}: got the item_id {name!r} again; allowed: each once.")
        split_of[name] = split
    lacking = [name for name in items["item_id"] if name not in split_of]
    if lacking:
        raise InputError(
            f"{path}: got no split of item {lacking[0]!r} ({len(lacking)} such); allowed: one of each item."
        )
    return items["item_id"].map(split_of).rename("split")


def _random(items: pd.DataFrame, test_share: float, seed: int) -> list[str]:
    test = _drawn(items["item_id"], test_share, seed, "item")
    return [TEST if item in test else TRAIN for item in items["item_id"]]


def _held_out(items: pd.DataFrame, test_share: float, seed: int) -> list[str]:
    test = _drawn(items["candidate"], test_share, seed, "candidate")
    return [TEST if candidate in test else TRAIN for candidate in _folded(items["candidate"])]


def _disjoint(items: pd.DataFrame, test_share: float, seed: int) -> list[str]:
    questions = _drawn(items["cluster"], test_share, seed, "question")
    candidates = _drawn(items["candidate"], test_share, seed, "candidate")
    sides = [
        # {True}: both are drawn for testing; {False}: neither; {True, False}: one is, so the item joins both sides.
        {question in questions, candidate in candidates}
        for question, candidate in zip(_folded(items["cluster"]), _folded(items["candidate"]), strict=True)
    ]
    return [UNUSED if len(side) > 1 else TEST if True in side else TRAIN for side in sides]


METHODS: Mapping[str, Method] = {"random": _random, "held_out": _held_out, "disjoint": _disjoint}


def _drawn(values: pd.Series, share: float, seed: int, what: str) -> set[str]:
    """Return the drawn ``share`` of the distinct values, rounded, at least one, and not all."""
    distinct = sorted(set(_folded(values)), key=lambda value: (seeded_hash(seed, what, value), value))
    number = min(max(1, round(share * len(distinct))), len(distinct) - 1)
    return set(distinct[:number])


def _folded(values: pd.Series) -> list[str]:
    return [str(value) for value in values.str.casefold()]
