"""What a match rate says, in words that follow from its interval alone."""

from __future__ import annotations

import math
from typing import NamedTuple

CHANCE = 50.0
FEWEST_CLUSTERS = 10
FAR = 60.0
"""Percent. A study that finds no rate below this one misses much, so not finding one means little."""

LEAKS, BELOW = "leaks", "below chance"
UNCLEAR, SMALL, NONE = "not distinguishable from chance", "too small to tell", "no match rate"
BEGINNINGS = {
    LEAKS: "{name} leaks",
    BELOW: "{name} is below chance",
    UNCLEAR: "{name} is not distinguishable from chance",
    SMALL: "Too small to tell whether {name} leaks",
}


class Rate(NamedTuple):
    """A match rate of ``match_rates.csv``, in percent; NaN where there is none.

    value, low, high: the rate and its interval for other templates.
    n_clusters: of templates.
    detectable: smallest rate that would have been told from 50; NaN where there is none.
    """

    value: float
    low: float
    high: float
    n_clusters: int
    detectable: float


def verdict(rate: Rate) -> str:
    """Return what a rate says: ``LEAKS``, ``BELOW``, ``UNCLEAR``, ``SMALL`` or ``NONE``.

    With fewer than ``FEWEST_CLUSTERS`` clusters it says nothing, wherever its interval lies. An interval that holds 50
    says so only where a rate up to ``FAR`` could have been found.
    """
    if math.isnan(rate.value):
        return NONE
    if rate.n_clusters < FEWEST_CLUSTERS or math.isnan(rate.low) or math.isnan(rate.high):
        return SMALL
    if rate.low > CHANCE:
        return LEAKS
    if rate.high < CHANCE:
        return BELOW
    return UNCLEAR if rate.detectable <= FAR else SMALL


def sentence(name: str, rate: Rate, level: float) -> str:
    """Return the headline of a model.

    Args:
        name: of the model, for people.
        rate: its match rate.
        level: of the interval, 0 to 1.
    """
    found = verdict(rate)
    if found == NONE:
        return f"{name} has no match rate: no two of its texts share a sentence but for the concept."
    numbers = (
        f"of 100 pairs of its texts, {percent(rate.value)} can be matched to the concepts named before them; "
        "50 is chance"
    )
    if not math.isnan(rate.low):
        numbers += f", {percent(rate.low)} to {percent(rate.high)} the {100 * level:g}\u00a0% interval"
    return f"{BEGINNINGS[found].format(name=name)}: {numbers}."


def percent(value: float) -> str:
    """Return a rate without decimals, but with one where it would else be taken for chance.

    >>> percent(63.7), percent(50.3), percent(50.0)
    ('64', '50.3', '50')
    """
    return f"{value:.1f}" if round(value) == CHANCE and abs(value - CHANCE) >= 0.05 else f"{value:.0f}"
