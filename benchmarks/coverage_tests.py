"""How often the tests of the step ``leak`` reject, where nothing is to be found and where something is.

A text x written after concept i of template u has with concept c the similarity

    s(c, x) = leak · [c = i] + template_u + δ_c + ε(c, x)

What a clause does to all concepts alike, or to each concept otherwise (δ), is the same in all texts of a model and
cancels in D; a Leak-Rate compares with a control's text that lacks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from coverage_row import Floats, TestRow
from leakscope.statistics.permutations import name_permutation_p, sign_flip_p

LEVEL = 0.05
CONCEPTS, TEXTS = 8, 3
OWNER = np.repeat(np.arange(CONCEPTS), TEXTS)  # the concept that each text was written after
PERMUTATIONS = 999
NONE = float("nan")


class Texts(NamedTuple):
    """Similarities of every concept to the texts after each concept, and after the control."""

    tests: Floats  # (studies, templates, concepts, texts of all concepts)
    controls: Floats  # (studies, templates, concepts, texts)


def rows(rng: np.random.Generator, studies: int) -> Iterator[TestRow]:
    """Yield tests against 50, then those between models."""
    for n in (4, 10, 24):
        for leak, said in ((0.0, "blind models"), (0.25, "models that leak a little")):
            texts = _written(rng, studies, n, leak, 0.0, 0.0)
            yield TestRow("p_templates", said, n, sign_flip_p(_matches(texts.tests) - 0.5), _level(n, leak))
            few = texts.tests[: studies // 4]
            yield TestRow("p_names", said, n, _by_names(few), LEVEL if leak == 0 else NONE)
    few = _by_length(rng, studies // 4, 10)
    yield TestRow("p_names", "blind models, a text's length depends on the name", 10, _by_names(few), LEVEL)
    shifts = {
        "equal leaks": (0.0, 0.0),
        "equal leaks, one clause shifts all concepts by 1.5 sd": (1.5, 0.0),
        "equal leaks, one clause shifts each concept otherwise, by 1.5 sd": (0.0, 1.5),
    }
    for n in (10, 24):
        for said, (general, by_concept) in shifts.items():
            a = _written(rng, studies, n, 0.7, 0.0, 0.0)
            b = _written(rng, studies, n, 0.7, general, by_concept)
            of_match = sign_flip_p(_matches(a.tests) - _matches(b.tests))
            yield TestRow("match rates of two models", said, n, of_match, _level(n, 0.0))
            of_leak = sign_flip_p(_leaks(a) - _leaks(b))
            yield TestRow("Leak-Rates of two models, for comparison", said, n, of_leak, NONE)


def _level(n_clusters: int, leak: float) -> float:
    """Return the largest multiple of 2/2^G, the p-values that there are, up to the level; NaN where there is a leak."""
    if leak:
        return NONE
    steps = 2.0 ** (min(n_clusters, 16) - 1)
    return float(np.floor(LEVEL * steps) / steps)


def _written(
    rng: np.random.Generator, studies: int, n: int, leak: float, general: float, by_concept: float
) -> Texts:  # fmt: skip
    """Draw three texts after each of eight concepts of n templates; skewed noise."""
    delta = general + by_concept * rng.normal(size=(studies, 1, CONCEPTS, 1))
    template = rng.normal(0, 0.5, (studies, n, 1, 1))
    own = leak * (np.arange(CONCEPTS)[:, None] == OWNER)
    tests = own + template + delta + rng.gamma(2.0, 1 / np.sqrt(2), (studies, n, CONCEPTS, len(OWNER)))
    controls = template + rng.gamma(2.0, 1 / np.sqrt(2), (studies, n, CONCEPTS, TEXTS))
    return Texts(tests, controls)


def _matches(s: Floats) -> Floats:
    """Return each unit's match rate, 0 to 1, (studies, templates)."""
    own = s[..., OWNER, np.arange(len(OWNER))]
    advantage = own[..., None] - np.swapaxes(s, 2, 3)[..., OWNER]  # of text x over the concept of text y
    first, second = np.nonzero(OWNER[:, None] < OWNER)
    rates: Floats = (advantage[..., first, second] + advantage[..., second, first] > 0).mean(-1)
    return rates


def _leaks(texts: Texts) -> Floats:
    """Return each template's share of texts that are closer to their concept than the control's, 0 to 1."""
    own = texts.tests[..., OWNER, np.arange(len(OWNER))]
    rates: Floats = (own > texts.controls.reshape(*own.shape)).mean(-1)
    return rates


def _by_names(s: Floats) -> Floats:
    """Return p_names of each study: how often a name is closer to the text after a concept than to the unit's texts."""
    below = (s.argsort(-1).argsort(-1) + 0.5) / len(OWNER)
    wins = below.sum(1).reshape(len(s), CONCEPTS, CONCEPTS, TEXTS).mean(-1)
    return np.array([name_permutation_p([table], PERMUTATIONS, seed) for seed, table in enumerate(wins)])


def _by_length(rng: np.random.Generator, studies: int, n: int) -> Floats:
    """Draw similarities of blind models whose text is as long as its concept's name says, which similarities feel."""
    length = rng.normal(size=(studies, 1, 1, CONCEPTS))[..., OWNER]
    slope = rng.normal(size=(studies, 1, CONCEPTS, 1))
    s: Floats = slope * length + rng.normal(size=(studies, n, CONCEPTS, len(OWNER)))
    return s
