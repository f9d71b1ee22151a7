"""Finds the strength of an edit at a given cost (rise in perplexity), by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

HALVINGS = 4
STEPS = 12
TOLERANCE = 0.02


class PricedStrength(NamedTuple):
    """A strength and its cost; ``reached``: whether a larger strength was found to exceed the target cost.

    The strength is 0 if even the smallest tried strength costs too much.
    """

    strength: float
    cost: float
    reached: bool


class _Interval(NamedTuple):
    """An affordable strength and a higher one that is not, with their costs."""

    low: float
    below: float
    high: float
    above: float

    def guess(self, target: float) -> float:
        """Return where the cost meets the target if it grows with a power of the strength; well inside the interval.

        The power is that of the two ends; where the lower end says nothing it is 2: without an edit the cost is at its
        least, nearly.
        """
        if math.isinf(self.above):
            return self.middle()
        says = self.low > 0 and 0 < self.below < self.above
        power = math.log(self.above / self.below) / math.log(self.high / self.low) if says else 2.0
        place: float = self.high * (target / self.above) ** (1 / power)
        margin = (self.high - self.low) / 10
        # Of no strength above 0 it is known yet that it is affordable: the guess may be as small as it likes.
        return min(max(place, self.low + margin if self.low else 0.0), self.high - margin)

    def middle(self) -> float:
        return (self.low + self.high) / 2


def strength_at_cost(
    cost: Callable[[float], float], target: float, largest: float, steps: int = STEPS
) -> PricedStrength:
    """Return a strength whose cost is within ``TOLERANCE`` below the target, and never above it.

    For targets below 1, ``TOLERANCE`` is relative.

    If ``largest`` is affordable, it is returned. Else the strength is doubled from ``largest / 2**HALVINGS`` until it
    is too expensive. The last interval is then divided at most ``steps`` times, alternately at the strength predicted
    by a power law and in the middle.

    Args:
        cost: of a strength above 0, in percent; infinite if the model gives NaN. If it is not monotone, one of several
            such strengths is found.
        target: above 0.
        largest: largest strength tried.
        steps: most divisions.
    """
    most = cost(largest)
    if most <= target:
        return PricedStrength(largest, most, False)
    interval, tolerance = _bracket(cost, target, largest, most), TOLERANCE * min(target, 1.0)
    for step in range(steps):
        if interval.low > 0 and interval.below >= target - tolerance:
            break
        strength = interval.middle() if step % 2 else interval.guess(target - tolerance / 2)
        percent = cost(strength)
        if percent <= target:
            interval = interval._replace(low=strength, below=percent)
        else:
            interval = interval._replace(high=strength, above=percent)
    return PricedStrength(interval.low, interval.below, True)


def remembering(cost: Callable[[float], float]) -> Callable[[float], float]:
    """Return a memoised cost function: searches for several targets share some steps."""
    return cache(cost)


def _bracket(cost: Callable[[float], float], target: float, largest: float, most: float) -> _Interval:
    low, below = 0.0, 0.0
    for halvings in range(HALVINGS, 0, -1):
        strength = largest / 2**halvings
        percent = cost(strength)
        if percent > target:
            return _Interval(low, below, strength, percent)
        low, below = strength, percent
    return _Interval(low, below, largest, most)
