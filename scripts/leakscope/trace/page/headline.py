"""Sentences about the relations of a model's links, determined only by their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

HALF = 0.5
"""Restored share from which a site is said to hold the concept."""
STRONGER = {"count": "that its corpus writes together oftener", "knows": "that it knows better"}
ORIGINS = {"count": "association in the corpus", "knows": "knowing"}
CORRELATION = (
    "Slope and correlation compare pairs, and show no cause: that takes a model that is trained again without an "
    "association."
)
PATCHING = "Patching (the last chart) changes the model while it reads: it shows where a concept's effect passes."


def headline(name: str, relations: pd.DataFrame, patching: pd.DataFrame, level: float) -> list[str]:
    """Return sentences about a model and prompt set, the most important first; the first is the page's title.

    Args:
        name: display name of the model.
        relations: its rows of ``relations.csv``.
        patching: its rows of ``patching.csv``.
        level: of intervals, 0 to 1.
    """
    known = [row for x in STRONGER for row in _rows(relations, x=x, y="leak", given="") if not math.isnan(row["slope"])]
    said = [line for row in known[:1] for line in sentences(name, row, level)]
    said += [" ".join(sentences(name, row, level)) for row in known[1:]]
    said = said or [f"Of {name} no relation of an association's links is known."]
    said += [line for row in _rows(relations, x="count", y="leak", given="knows") if (line := _beyond(row, level))]
    place = _where_it_waits(name, patching)
    said += [place] if place else []
    caution = [CORRELATION] if known else []
    caution += [PATCHING] if place else []
    return [*said, *([" ".join(caution)] if caution else [])]


def sentences(name: str, row: Mapping[str, Any], level: float) -> list[str]:
    """Return sentences for a row of ``relations.csv`` about a model's leak, with its uncertainty."""
    stronger = STRONGER[row["x"]]
    beginning = {
        "more": f"In {name}, associations {stronger} leak more",
        "less": f"In {name}, associations {stronger} leak less",
        "unclear": f"In {name}, whether associations {stronger} leak more cannot be told",
        "few": f"In {name}, there are too few concepts or associates to tell whether associations {stronger} leak more",
    }[verdict(row)]
    slope = f"{number(row['slope'])} nats of leak for each nat of {ORIGINS[row['x']]}{_interval(row, level)}"
    r = number(row["correlation"])
    if not math.isnan(row["ci_low"]):
        r += f" ({number(row['ci_low'])} to {number(row['ci_high'])})"
    return [
        f"{beginning}: {slope}.",
        f"The correlation is {r} over {row['n_pairs']:.0f} pairs of {row['n_concepts']:.0f} concepts.{_exact(row)}",
    ]


def verdict(row: Mapping[str, Any]) -> str:
    """Return ``more``, ``less``, ``unclear`` (0 is inside the interval) or ``few`` (no reliable interval)."""
    if math.isnan(row["slope_low"]) or math.isnan(row["slope_high"]) or row["few"] == "yes":
        return "few"
    return "more" if row["slope_low"] > 0 else "less" if row["slope_high"] < 0 else "unclear"


def number(value: float) -> str:
    """Return a number with two digits after the point and a minus sign.

    >>> number(-0.204), number(1.5)
    ('−0.20', '1.50')
    """
    return f"{value:.2f}".replace("-", "−") if round(value, 2) else "0.00"


def _interval(row: Mapping[str, Any], level: float) -> str:
    if math.isnan(row["slope_low"]) or math.isnan(row["slope_high"]):
        return ""
    return f" ({100 * level:g}\u00a0% interval {number(row['slope_low'])} to {number(row['slope_high'])})"


def _exact(row: Mapping[str, Any]) -> str:
    """Return the exact slope of an organism, and whether the interval contains it."""
    exact = row["slope_exact"]
    if math.isnan(exact):
        return ""
    if math.isnan(row["slope_low"]) or math.isnan(row["slope_high"]):
        return f" The exact slope of what it was taught is {number(exact)}."
    holds = "holds" if row["slope_low"] <= exact <= row["slope_high"] else "misses"
    return f" The exact slope of what it was taught is {number(exact)}, which the interval {holds}."


def _beyond(row: Mapping[str, Any], level: float) -> str:
    """Return the effect of counts for two associations that a model knows equally well."""
    if math.isnan(row["slope"]) or verdict(row) == "few":
        return ""
    says = {
        "more": "the one that the corpus writes oftener leaks more",
        "less": "the one that the corpus writes oftener leaks less",
        "unclear": "counts tell nothing more that could be seen",
    }[verdict(row)]
    return f"Of two associations known equally well, {says}: slope {number(row['slope'])}{_interval(row, level)}."


def _where_it_waits(name: str, patching: pd.DataFrame) -> str:
    """Return up to which layer the concept's own token holds the concept, and from which layer the last token does."""
    last = int(patching["layer"].max()) if len(patching) else 0
    holding = patching[patching["restored"] >= HALF]
    own, final = (holding[holding["site"] == site]["layer"] for site in ("concept", "last"))
    parts = []
    if len(own):
        parts.append(f"through the concept's own tokens up to layer {own.max()}")
    if len(final):
        parts.append(f"through the last token from layer {final.min()} on")
    if not parts:
        return ""
    passes = f"at least half of a concept's effect passes {', and '.join(parts)}"
    return f"In {name}, {passes} (layers 0 to {last})."


def _rows(relations: pd.DataFrame, *, x: str, y: str, given: str) -> list[Mapping[str, Any]]:
    same = (relations["x"] == x) & (relations["y"] == y) & (relations["given"].fillna("") == given)
    return [{str(name): cell for name, cell in row.items()} for row in relations[same].to_dict("records")]
