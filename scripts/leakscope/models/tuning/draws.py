"""Which items, pairs or texts a step sees: a matter of the seed, what is drawn and the step's number, of nothing else.

So a training that goes on sees what it would have seen had it never been broken off.
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
