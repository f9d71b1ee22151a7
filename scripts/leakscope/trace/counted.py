"""The link ``count``: co-occurrence of concept and associate in a corpus, as pointwise mutual information."""

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
"""Added to a count, so that unseen pairs have a logarithm (Haldane 1956, Anscombe 1956)."""
COUNT_COLUMNS = ["n_c", "n_a", "n_ca", "n_total", "count", "count_low", "count_high"]
LIMITS = ["count_low", "count_high"]
"""Names of confidence limits in a table of pair counts, and of the measure here."""


class PairLexicons(NamedTuple):
    """Concept groups and associates of a prompt set, with the terms counted for each.

    concepts: id of the lexicon → concept group. associates: id of the lexicon → candidate. concept_terms: concept group
    → search terms. associate_terms: candidate → search terms.
    """

    concepts: Mapping[str, str]
    associates: Mapping[str, str]
    concept_terms: Mapping[str, Sequence[str]]
    associate_terms: Mapping[str, Sequence[str]]


class Counted(NamedTuple):
    """The counts for a model and prompt set.

    pairs: ``subject, group, window, unit, count``; subjects are concepts, groups associates, by their ids. terms:
    ``side, concept`` and numbers by unit, or None for an imported table of counts. totals: size of the corpus by unit,
    or None as for the argument before. lexicons: of the counted terms. window: in words, or None for the whole
    document. unit: of the counts in use.
    """

    pairs: pd.DataFrame
    terms: pd.DataFrame | None
    totals: Mapping[str, int] | None
    lexicons: PairLexicons
    window: int | None
    unit: str


def read_lexicons(concepts: Path, associates: Path) -> PairLexicons:
    """Return names and search terms for the ids of two lexicons.

    Raises:
        InputError: as ``lexicons.read_concepts``.
    """
    rows = [read_concepts(path) for path in (concepts, associates)]
    return PairLexicons(
        *({one.id: one.names[ENGLISH] for one in side} for side in rows),
        *({one.names[ENGLISH]: one.terms for one in side} for side in rows),
    )


def count_pairs(pairs: pd.DataFrame, counted: Counted) -> pd.DataFrame:
    """Return ``COUNT_COLUMNS`` and ``log_n_ca`` of pairs, NaN if not counted.

        count = log((n_ca + ½) N / (n_c n_a))         nats: pointwise mutual information, with ½ for pairs never seen

    ``count_low`` and ``count_high``: the same at the confidence limits of n_ca, if it was estimated from a sample; else
    empty. N is the number of documents, or of words (tokens) if mentions are counted. ``log_n_ca`` = log(n_ca + ½) has
    the same double-centred values, and is all that a table without counts of single terms gives.

    Args:
        pairs: ``KEYS``.
        counted: of the same set.

    Raises:
        InputError: no counts in the window and unit, or several for one pair.

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
        raise InputError(f"trace: counts: got several counts of {c!r} with {a!r}; allowed: one count per pair.")
    return named


def _term_counts(counted: Counted, side: str, names: Mapping[str, str]) -> dict[str, float]:
    """Return concept group or candidate → number of documents that mention it, or of its mentions."""
    if counted.terms is None or counted.unit not in counted.terms:
        return {}
    rows = counted.terms[counted.terms["side"] == side]
    return dict(zip(_named(rows["concept"], names), rows[counted.unit].astype(float), strict=True))


def _total(counted: Counted) -> float:
    totals = counted.totals or {}
    keys = ("documents",) if counted.unit == DOCUMENTS else ("words", "tokens")
    return next((float(totals[key]) for key in keys if totals.get(key)), np.nan)


def _named(ids: pd.Series, names: Mapping[str, str]) -> pd.Series:
    """Return the names of ids; an imported table may already have names."""
    return ids.map(lambda known: names.get(known, known))
