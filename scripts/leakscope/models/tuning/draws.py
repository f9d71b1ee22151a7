"""Draws of items, pairs or texts for a training step; they depend only on seed, kind of item and step number.

So a resumed training sees the same items as an uninterrupted one.
"""

from __future__ import annotations

import numpy as np

from leakscope.statistics.seeding import seeded_hash


def without_replacement(n: int, size: int, step: int, seed: int, what: str) -> list[int]:
    """Return the ``size`` numbers below ``n`` that a step sees; in each pass over all ``n`` each comes once."""
    first, last = step * size // n, ((step + 1) * size - 1) // n
    order = np.concatenate(
        [
            np.random.default_rng(seeded_hash(seed, what, str(number))).permutation(n)
            for number in range(first, last + 1)
        ]
    )
    start = step * size - first * n
    return [int(number) for number in order[start : start + size]]


def with_replacement(n: int, size: int, step: int, seed: int, what: str) -> list[int]:
    """Return ``size`` numbers below ``n`` that a step sees, drawn independently."""
    numbers = np.random.default_rng(seeded_hash(seed, what, str(step))).integers(n, size=size)
    return [int(number) for number in numbers]
