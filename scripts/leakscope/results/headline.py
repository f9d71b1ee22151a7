"""Headlines about match rates, in words that depend only on the interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from leakscope.errors import counted

CHANCE = 50.0
FEWEST_CLUSTERS = 10
FAR = 60.0
"""Percent. If a study can detect only rates above this value, an inconclusive interval means little."""

LEAKS, BELOW = "leaks", "below chance"
UNCLEAR, SMALL, NONE = "not distinguishable from chance", "too small to tell", "no match rate"
UNREAD = "the scorer does not read this language"
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
    detectable: smallest rate distinguishable from 50; NaN where there is none.
    """

    value: float
    low: float
    high: float
    n_clusters: int
    detectable: float


def verdict(rate: Rate) -> str:
    """Return the verdict on a rate: ``LEAKS``, ``BELOW``, ``UNCLEAR``, ``SMALL`` or ``NONE``.

    Fewer than ``FEWEST_CLUSTERS`` clusters give ``SMALL``, whatever the interval. An interval that contains 50 gives
    ``UNCLEAR`` only if a rate of ``FAR`` or less was detectable.
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
        name: the model's display name.
        rate: its match rate.
        level: of the interval, 0 to 1.
    """
    found = verdict(rate)
    if found == NONE:
        return f"{name} has no match rate: no two of its prompts differ only in the concept."
    few = rate.n_clusters < FEWEST_CLUSTERS and found == SMALL
    why = f" ({counted(rate.n_clusters, 'unrelated template', 'unrelated templates')})" if few else ""
    return f"{BEGINNINGS[found].format(name=name)}{why}: {numbers(rate, level)}."


def unread_sentence(name: str, rate: Rate, level: float) -> str:
    """Return the headline of a model by a scorer that was not made for the language: without a verdict.

    Args:
        name: of the model, for people.
        rate: its match rate.
        level: of the interval, 0 to 1.
    """
    if verdict(rate) == NONE:
        return sentence(name, rate, level)
    return f"{name} gets no verdict, as {UNREAD}: {numbers(rate, level)}."


def numbers(rate: Rate, level: float) -> str:
    """Return a match rate in words, with chance and its interval.

    Args:
        rate: of a model that has one.
        level: of the interval, 0 to 1.
    """
    said = (
        f"of 100 pairs of its texts, {percent(rate.value)} can be matched to the concepts named before them; "
        "50 is chance"
    )
    if math.isnan(rate.low):
        return said
    return f"{said}, {percent(rate.low)} to {percent(rate.high)} the {100 * level:g}\u00a0% interval"


def strongest(rates: Sequence[Rate]) -> int:
    """Return the index of the highest rate, among rates that leak if any do; 0 where there is no rate."""
    leaking = [verdict(rate) == LEAKS for rate in rates]
    heights = [-1.0 if math.isnan(rate.value) else rate.value for rate in rates]
    return max(range(len(rates)), key=lambda place: (leaking[place], heights[place]), default=0)


def summary(models: Sequence[tuple[str, Rate]], level: float) -> list[str]:
    """Return the headline of many models and its continuation: how many leak, the highest, and the others.

    Args:
        models: display name and match rate of each; at least one.
        level: of the intervals, 0 to 1.
    """
    rates = [rate for _, rate in models]
    found = Counter(map(verdict, rates))
    name, rate = models[strongest(rates)]
    n, leaking = len(models), found.pop(LEAKS, 0)
    others = ", ".join(f"{number} {word}" for word, number in found.most_common())
    if not leaking:
        return [f"None of {n} models leaks for sure: {others}.", f"The highest: {sentence(name, rate, level)}"]
    whose = f"All {n} models leak" if leaking == n else f"{leaking} of {n} models {'leaks' if leaking == 1 else 'leak'}"
    most = name if leaking == 1 else f"{name} most"
    return [f"{whose}, {most}: {numbers(rate, level)}.", *([f"The others: {others}."] if others else [])]


def could_detect(row: Mapping[str, Any]) -> str:
    """Return which rate a study of this design finds in four of five cases."""
    if row["rate"] is None:
        return f"{row['name']}: nothing, as it has no match rate."
    beginning = f"{row['name']}, {row['clusters']} unrelated templates"
    if row["detectable"] is None:
        why = "they do not differ at all, so this is not known" if not row["sd"] else "so few find no rate for sure"
        return f"{beginning}: {why}."
    rest = ": a smaller leak may be there all the same" if row["verdict"] == UNCLEAR else ""
    return (
        f"{beginning}: a match rate from {percent(row['detectable'])} on is found in four of five such studies{rest}."
    )


def percent(value: float) -> str:
    """Return a rate without decimals, or with one decimal if rounding would turn it into 50.

    >>> percent(63.7), percent(50.3), percent(50.0)
    ('64', '50.3', '50')
    """
    return f"{value:.1f}" if round(value) == CHANCE and abs(value - CHANCE) >= 0.05 else f"{value:.0f}"
