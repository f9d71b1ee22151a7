"""Train/test splits of a task's items: random, with held-out candidates, or disjoint in questions and candidates."""

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

    Splits depend on the seed and the items, not on their order.

    Args:
        items: from ``items.item_table``.
        method: ``random`` draws items; ``held_out`` draws candidates, so that test candidates are not in training;
            ``disjoint`` draws questions and candidates, so that neither is in training. With ``disjoint``, items with
            a training question and a test candidate, or the reverse, are ``unused``.
        test_share: share of items, of candidates, or of questions and of candidates to test on; above 0, below 1.
        seed: of the draw.

    Raises:
        InputError: the method is unknown, the share is out of range, or training or test items lack positives or
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
                    f"allowed: at least one. Change the seed or the test share ({test_share})."
                )
    table = pd.DataFrame({"item_id": items["item_id"], "split": splits}).reset_index(drop=True)
    return table.assign(method=method, seed=seed)[SPLIT_COLUMNS]


def write_splits(splits: pd.DataFrame, path: Path) -> None:
    """Write splits as CSV, sorted by item id, so that equal splits give equal bytes."""
    write_csv(splits.sort_values("item_id", ignore_index=True), path)


def read_splits(path: Path, items: pd.DataFrame) -> pd.Series:
    """Return the split of each item, with the index of ``items``, from a file of splits.

    Raises:
        InputError: a column is missing, or an item is repeated or has no split or an unknown one.
    """
    rows = read_records(path, ["item_id", "split"])
    split_of: dict[str, str] = {}
    for i, row in enumerate(rows, 1):
        name, split = row["item_id"], row["split"]
        if split not in SPLITS:
            raise one_of(f"{path}, item {i}: column 'split'", split, SPLITS)
        if name in split_of:
            raise InputError(f"{path}, item {i}: got the item_id {name!r} again; allowed: each id once.")
        split_of[name] = split
    lacking = [name for name in items["item_id"] if name not in split_of]
    if lacking:
        raise InputError(
            f"{path}: got no split of item {lacking[0]!r} ({len(lacking)} such); allowed: a split for each item."
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
        # {True}: both drawn for testing; {False}: neither; {True, False}: one of the two, so the item is unused.
        {question in questions, candidate in candidates}
        for question, candidate in zip(_folded(items["cluster"]), _folded(items["candidate"]), strict=True)
    ]
    return [UNUSED if len(side) > 1 else TEST if True in side else TRAIN for side in sides]


METHODS: Mapping[str, Method] = {"random": _random, "held_out": _held_out, "disjoint": _disjoint}


def _drawn(values: pd.Series, share: float, seed: int, what: str) -> set[str]:
    """Return a random ``share`` of the distinct values, rounded, at least one and not all."""
    distinct = sorted(set(_folded(values)), key=lambda value: (seeded_hash(seed, what, value), value))
    number = min(max(1, round(share * len(distinct))), len(distinct) - 1)
    return set(distinct[:number])


def _folded(values: pd.Series) -> list[str]:
    return [str(value) for value in values.str.casefold()]
