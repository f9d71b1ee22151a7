"""Counts of one axis as one table, whatever they were counted with: ``axis, subject, group, window, unit, count``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leakscope.ground.cooccurrence import Counts, by_window
from leakscope.ground.imported import COUNT_COLUMNS
from leakscope.ground.infini_gram import Client, count_pairs, count_terms, count_tokens
from leakscope.ground.lexicons import read_concepts
from leakscope.ground.mentions import Terms
from leakscope.ground.naming import Naming

DOCUMENTS, MENTIONS = "documents", "mentions"


class Indexed(NamedTuple):
    """What an index was asked: counts of pairs, counts of terms, and how large it is."""

    counts: pd.DataFrame
    terms: pd.DataFrame
    totals: dict[str, int]


def terms_of(axes: Mapping[str, Mapping[str, str]]) -> Terms:
    """Return the terms of all lexicons of some axes, ready to be searched for in one pass.

    Args:
        axes: name → ``subjects`` and ``groups``, the files of their lexicons.
    """
    paths = sorted({path for lexicons in axes.values() for path in lexicons.values()})
    lexicons = {path: {concept.id: concept.terms for concept in read_concepts(Path(path))} for path in paths}
    return Terms(lexicons, {axis: (files["subjects"], files["groups"]) for axis, files in axes.items()})


def axis_counts(counts: Counts, axis: str, terms: Terms, naming: Naming, windows: Sequence[int]) -> pd.DataFrame:
    """Return the counts of an axis by window, and without one, in documents and in pairs of mentions.

    Args:
        counts: of the whole corpus.
        axis: its name.
        terms: that were counted.
        naming: of the axis.
        windows: in words.
    """
    table = by_window(counts.pairs[counts.pairs["axis"] == axis], [*windows, None], {axis: terms.sides()[axis]})
    long = table.melt(
        ["axis", "subject", "group", "window"], [DOCUMENTS, MENTIONS], var_name="unit", value_name="count"
    )
    return naming.apply(long, ["subject", "group", "window", "unit"], f"counts of {axis}")[COUNT_COLUMNS]


def axis_terms(counts: Counts, lexicons: Mapping[str, str]) -> pd.DataFrame:
    """Return ``side, concept, documents, mentions``: how often each concept of an axis is mentioned at all."""
    sides = [counts.terms[counts.terms["lexicon"] == path].assign(side=side) for side, path in sorted(lexicons.items())]
    return pd.concat(sides, ignore_index=True)[["side", "concept", DOCUMENTS, MENTIONS]]


def count_by_index(
    client: Client,
    axis: str,
    lexicons: Mapping[str, str],
    naming: Naming,
    windows: Sequence[int],
    *,
    terms_per_clause: int,
) -> Indexed:
    """Return the counts of an axis in the index of an infini-gram server: pairs of mentions, windows in tokens.

    Args:
        client: of the index.
        axis: its name.
        lexicons: ``subjects`` and ``groups``, the files.
        naming: of the axis.
        windows: in tokens.
        terms_per_clause: see ``infini_gram.count_pairs``.
    """
    sides = {side: {c.id: c.terms for c in read_concepts(Path(path))} for side, path in sorted(lexicons.items())}
    pairs = count_pairs(sides["subjects"], sides["groups"], windows, client, terms_per_clause=terms_per_clause)
    terms = [count_terms(concepts, client).assign(side=side) for side, concepts in sides.items()]
    table = pairs.assign(axis=axis, unit=MENTIONS, count=pairs["mentions"], window=pairs["window"].astype("Int64"))
    named = naming.apply(table, ["subject", "group", "window"], f"counts of {axis}")
    totals = {"tokens": count_tokens(client), "n_pairs": len(pairs), "n_approximate": int(pairs["approximate"].sum())}
    columns = ["side", "concept", MENTIONS, "approximate"]
    return Indexed(named[COUNT_COLUMNS], pd.concat(terms, ignore_index=True)[columns], totals)
