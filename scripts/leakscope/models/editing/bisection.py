"""How strong may an edit be? The strength at which it costs so much, found by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

HALVINGS = 4
STEPS = 12
TOLERANCE = 0.02


class PricedStrength(NamedTuple):
    """A strength and what it costs; ``reached``: whether a larger one was found to cost more than was asked for.

    The strength is 0 where even the smallest that was tried costs too much.
    """

    strength: float
    cost: float
    reached: bool


class _Interval(NamedTuple):
    """Two strengths, of which the lower one is affordable and the higher one is not, and what they cost."""

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
    """Return a strength whose cost is the target, or a little less; never one that costs more.

    A little is ``TOLERANCE``, of targets below 1 the same share of them.

    That is the largest one, where that is affordable. Else the strength is doubled, from ``largest / 2**HALVINGS`` on,
    until it is not; the last interval is then divided, at most ``steps`` times, in turns where the cost would meet the
    target if it grew with a power of the strength, and in the middle.

    Args:
        cost: of a strength above 0, in percent; infinite where the model gives no numbers any more. It need not be
            monotone, but then what is found is one of several such strengths.
        target: above 0.
        largest: strength that is tried.
        steps: so many divisions at most.
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
    """Return the same function, which computes no strength twice: several targets share some of their steps."""
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
