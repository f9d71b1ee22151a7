"""Exact links of an organism, computed from the law of its grammar without corpus, model or sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from leakscope.counting.mentions import Terms
from leakscope.counting.normal_form import normalise
from leakscope.organisms.leak_grammar import Grammar
from leakscope.trace.counted import HALF
from leakscope.trace.pairs import KEYS

Floats = NDArray[np.float64]

SIDES = ("concepts", "associates")
TAIL = 12  # standard deviations beyond which a count's probability is negligible
FEWEST_SUMMED = 30


class Shares(NamedTuple):
    """Probabilities that a document mentions a concept, an associate, and both within the window."""

    concepts: Mapping[str, float]
    associates: Mapping[str, float]
    pairs: Mapping[tuple[str, str], float]


class ExactCounts(NamedTuple):
    """The link ``count`` for corpora of a given size: mean and variance over corpora drawn from the law.

    pmi: mean of log((n_ca + ½) N) − log(N P_c N P_a), (pairs,); NaN if a term is never mentioned. log_n_ca: mean of
    log(n_ca + ½), (pairs,). variance: of log(n_ca + ½), (pairs,).
    """

    pmi: Floats
    log_n_ca: Floats
    variance: Floats


def exact_leaks(grammar: Grammar, pairs: pd.DataFrame) -> pd.Series:
    """Return log p(a | test) − log p(a | control) of pairs, in nats; NaN if the grammar has no such slot.

    −∞ if an organism of strength 1 never writes a.

    Args:
        grammar: of the organism.
        pairs: ``KEYS``.
    """
    slots = set(grammar.candidates["slot"])
    groups = pairs[["slot", "concept_group"]].drop_duplicates()
    shifts: dict[tuple[str, str, str], float] = {}
    for slot, group in groups.itertuples(index=False):
        if slot in slots:
            law = grammar.continuation_law(slot, group)
            ratio = law.to_numpy() / grammar.continuation_law(slot, None).to_numpy()
            with np.errstate(divide="ignore"):
                shifts |= {(slot, group, str(a)): float(x) for a, x in zip(law.index, np.log(ratio), strict=True)}
    return pd.Series([shifts.get(key, np.nan) for key in pairs[KEYS].itertuples(index=False, name=None)], pairs.index)


def mention_shares(
    grammar: Grammar,
    concepts: Mapping[str, Sequence[str]],
    associates: Mapping[str, Sequence[str]],
    window: int | None,
) -> Shares:
    """Return the probabilities that a document mentions each concept, each associate, and both within the window.

    Every possible document is searched like a corpus (``counting.cooccurrence``) and weighted by its probability.

    Args:
        grammar: of the organism.
        concepts: concept group → its terms.
        associates: candidate → its terms.
        window: largest distance in words; None: the whole document.
    """
    terms = Terms(dict(zip(SIDES, (concepts, associates), strict=True)), {"pairs": SIDES})
    alone: tuple[dict[str, float], dict[str, float]] = ({}, {})
    together: dict[tuple[str, str], float] = {}
    for document in grammar.support():
        probability = math.exp(document.logprob)
        found = _mentions(terms, f"{document.context} {document.answer}")
        for shares, mentions in zip(alone, found, strict=True):
            for name in {name for name, _, _ in mentions}:
                shares[name] = shares.get(name, 0.0) + probability
        for pair in {(c, a) for c, *i in found[0] for a, *j in found[1] if _is_near(i, j, window)}:
            together[pair] = together.get(pair, 0.0) + probability
    return Shares(alone[0], alone[1], together)


def exact_counts(pairs: pd.DataFrame, shares: Shares, n_documents: int) -> ExactCounts:
    """Return mean and variance of the link ``count`` over corpora of so many documents.

    n_ca is binomial with N and P_ca. Few documents have a pair by chance, so that log(n_ca + ½) varies by as much as
    its logarithm does; a slope on it is smaller than one on P_ca itself would be, and a slope is compared with what
    corpora of its own size give.

    Args:
        pairs: ``KEYS``.
        shares: of its concepts and associates.
        n_documents: N.
    """
    keys = list(zip(pairs["concept_group"], pairs["associate"], strict=True))
    moments = {p: _log_moments(n_documents, p) for p in {shares.pairs.get(key, 0.0) for key in keys}}
    mean, variance = np.array([moments[shares.pairs.get(key, 0.0)] for key in keys]).T
    p_c, p_a = (
        np.array([own.get(name, 0.0) for name in pairs[column]])
        for own, column in ((shares.concepts, "concept_group"), (shares.associates, "associate"))
    )
    with np.errstate(divide="ignore"):
        count = mean - np.log(n_documents) - np.log(p_c) - np.log(p_a)
    return ExactCounts(np.where(np.isfinite(count), count, np.nan), mean, variance)


def _log_moments(n: int, p: float) -> tuple[float, float]:
    """Return mean and variance of log(k + ½), k binomial with n and p."""
    centre, half = n * p, TAIL * math.sqrt(n * p) + FEWEST_SUMMED
    k = np.arange(max(0, math.floor(centre - half)), min(n, math.ceil(centre + half)) + 1)
    weight = stats.binom.pmf(k, n, p)
    value = np.log(k + HALF)
    mean = float(weight @ value / weight.sum())
    return mean, float(weight @ (value - mean) ** 2 / weight.sum())


def _mentions(terms: Terms, text: str) -> tuple[list[tuple[str, int, int]], ...]:
    """Return the mentions of concepts, and those of associates: name, first word and last one."""
    found: tuple[list[tuple[str, int, int]], ...] = ([], [])
    for pattern, word in terms.find(normalise(text)):
        for mentions, side in zip(found, SIDES, strict=True):
            number = terms.concept_of[side][pattern]
            if number >= 0:
                mentions.append((terms.concepts[side][number], word, word + int(terms.spaces[pattern])))
    return found


def _is_near(one: list[int], other: list[int], window: int | None) -> bool:
    """Say whether two mentions, each its first and last word, are as near each other as the window asks."""
    return window is None or max(0, other[0] - one[1], one[0] - other[1]) <= window
