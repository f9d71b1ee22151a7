"""The first link: how often concept and associate stand near each other in a corpus, from the counts of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from leakscope.counting.lexicons import ENGLISH, read_concepts
from leakscope.counting.units import DOCUMENTS
from leakscope.errors import InputError, one_of
from leakscope.trace.pairs import KEYS

HALF = 0.5
"""Added to a count, so that pairs that were never seen have a logarithm (Haldane 1956, Anscombe 1956)."""
COUNT_COLUMNS = ["n_c", "n_a", "n_ca", "n_total", "count", "count_low", "count_high"]
LIMITS = ["count_low", "count_high"]
"""Of a count of pairs in its table, and of the measure here."""


class PairLexicons(NamedTuple):
    """Concept groups and associates of a set as they are counted.

    concepts: id of the lexicon → concept group.
    associates: id of the lexicon → candidate.
    concept_terms: concept group → what is searched for.
    associate_terms: candidate → what is searched for.
    """

    concepts: Mapping[str, str]
    associates: Mapping[str, str]
    concept_terms: Mapping[str, Sequence[str]]
    associate_terms: Mapping[str, Sequence[str]]


class Counted(NamedTuple):
    """What was counted for a model and prompt set.

    pairs: ``subject, group, window, unit, count``; subjects are concepts, groups associates, by their ids.
    terms: ``side, concept`` and numbers by unit, or None where a table of counts was brought.
    totals: how much text there is, likewise.
    lexicons: that were counted.
    window: in words of the text, or None for all of a document.
    unit: of the counts that are used.
    """

    pairs: pd.DataFrame
    terms: pd.DataFrame | None
    totals: Mapping[str, int] | None
    lexicons: PairLexicons
    window: int | None
    unit: str


def read_lexicons(concepts: Path, associates: Path) -> PairLexicons:
    """Return what the ids of two lexicons stand for.

    Raises:
        InputError: as ``lexicons.read_concepts``.
    """
    rows = [read_concepts(path) for path in (concepts, associates)]
    return PairLexicons(
        *({one.id: one.names[ENGLISH] for one in side} for side in rows),
        *({one.names[ENGLISH]: one.terms for one in side} for side in rows),
    )


def count_pairs(pairs: pd.DataFrame, counted: Counted) -> pd.DataFrame:
    """Return ``COUNT_COLUMNS`` and ``log_n_ca`` of pairs, NaN where they were not counted.

        count = log((n_ca + ½) N / (n_c n_a))         nats: pointwise mutual information, with ½ for pairs never seen

    ``count_low`` and ``count_high``: the same of the limits of n_ca, where it was counted in a sample; empty elsewhere.
    N is the number of documents, or of words (tokens) where mentions are counted. ``log_n_ca`` = log(n_ca + ½) is all
    that double centring leaves of it, and all there is in a table of counts without those of single terms.

    Args:
        pairs: ``KEYS``.
        counted: of the same set.

    Raises:
        InputError: there is no count in the window and unit, or several of a pair.

    Source: Church & Hanks 1990 (Word association norms, mutual information, and lexicography).
    """
    n_ca = _pair_counts(counted)
    table = pairs[KEYS].merge(n_ca, on=KEYS[1:], how="left", validate="many_to_one")
    table["n_c"] = table["concept_group"].map(_term_counts(counted, "subjects", counted.lexicons.concepts))
    table["n_a"] = table["associate"].map(_term_counts(counted, "groups", counted.lexicons.associates))
    table["n_total"] = _total(counted)
    table["log_n_ca"] = np.log(table["n_ca"] + HALF)
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = np.log(table["n_c"]) + np.log(table["n_a"]) - np.log(table["n_total"])
    for column, numbers in zip(COUNT_COLUMNS[4:], ["n_ca", *LIMITS], strict=True):
        values = np.log(table[numbers] + HALF) - chance
        table[column] = values.where(np.isfinite(values))
    return table[[*COUNT_COLUMNS, "log_n_ca"]].set_index(pairs.index)


def _pair_counts(counted: Counted) -> pd.DataFrame:
    units = list(counted.pairs["unit"].unique())
    if counted.unit not in units:
        raise one_of("trace: counts: unit", counted.unit, units)
    rows = counted.pairs[counted.pairs["unit"] == counted.unit]
    windows = rows["window"]
    if windows.notna().any() or counted.window is not None:
        here = windows.isna() if counted.window is None else windows.eq(counted.window).fillna(False)
        if not here.any():
            known = ", ".join("none" if pd.isna(window) else str(int(window)) for window in windows.unique())
            raise InputError(f"trace: counts: got the window {counted.window}; allowed: {known}.")
        rows = rows[here.astype(bool)]
    named = pd.DataFrame(
        {
            "concept_group": _named(rows["subject"], counted.lexicons.concepts),
            "associate": _named(rows["group"], counted.lexicons.associates),
            "n_ca": rows["count"].astype(float),
            **{limit: rows[limit].astype(float) if limit in rows else np.nan for limit in LIMITS},
        }
    )
    twice = named[named.duplicated(KEYS[1:])]
    if len(twice):
        c, a = twice.iloc[0][KEYS[1:]]
        raise InputError(f"trace: counts: got several of {c!r} with {a!r}; allowed: one of each pair.")
    return named


def _term_counts(counted: Counted, side: str, names: Mapping[str, str]) -> dict[str, float]:
    """Return concept group, or candidate → in how many documents, or how often, it is mentioned."""
    if counted.terms is None or counted.unit not in counted.terms:
        return {}
    rows = counted.terms[counted.terms["side"] == side]
    return dict(zip(_named(rows["concept"], names), rows[counted.unit].astype(float), strict=True))


def _total(counted: Counted) -> float:
    totals = counted.totals or {}
    keys = ("documents",) if counted.unit == DOCUMENTS else ("words", "tokens")
    return next((float(totals[key]) for key in keys if totals.get(key)), np.nan)


def _named(ids: pd.Series, names: Mapping[str, str]) -> pd.Series:
    """Return what ids stand for; a table that a person brings may have the names themselves."""
    return ids.map(lambda known: names.get(known, known))
