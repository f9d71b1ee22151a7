"""When not to believe a match rate: what the tables of the run itself say against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leakscope.results.headline import CHANCE, percent

FALL = 5.0
"""Points by which a rate falls without repetition before the page says so."""
MANY_ECHOES, MANY_EMPTY, MANY_CUT = 20.0, 10.0, 1.0
"""Percent of texts that restate their prompt, of empty texts, and of pairs that are longer than the encoder reads."""


def marks(name: str, row: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Return a sentence for each reason to doubt a model's match rate; none where its tables name none.

    Args:
        name: of the model, for people.
        row: of ``rows.rate_rows``.
        others: the model's rows by other scorers, the prompt set and category being the same.
    """
    if row["rate"] is None:
        return []
    found = [_few(row), _repetition(row), _echo(row), _empty(row), _cut(row), _concepts(row), _others(row, others)]
    return [f"{name}: {mark}" for mark in found if mark]


def _few(row: Mapping[str, Any]) -> str | None:
    """Return what of a design with fewer than ten templates or concepts."""
    if not row["few"]:
        return None
    numbers = f"{row['clusters']} unrelated templates, {row['concepts']} concepts"
    return f"fewer than ten {row['few']} ({numbers}): the interval is only as good as so few allow."


def _repetition(row: Mapping[str, Any]) -> str | None:
    without = row["without_repetition"]
    if without is None:
        return "in every pair a text names one of the two concepts: nothing is left but repetition."
    if row["rate"] - without <= FALL:
        return None
    return (
        f"in {percent(row['repetition'])} % of the pairs a text names one of the two concepts; of the other pairs "
        f"{percent(without)} of 100 are matched, not {percent(row['rate'])}."
    )


def _echo(row: Mapping[str, Any]) -> str | None:
    if (row["echo"] or 0) < MANY_ECHOES:
        return None
    without = row["without_echo"]
    rest = "" if without is None else f"; of pairs in which none does, {percent(without)} of 100 are matched"
    return f"{row['echo']:.0f} % of its texts restate their prompt, which is no leak{rest}."


def _empty(row: Mapping[str, Any]) -> str | None:
    if (row["empty"] or 0) < MANY_EMPTY:
        return None
    return f"{row['empty']:.0f} % of its texts are empty; each of them ties, which draws the rate to 50."


def _cut(row: Mapping[str, Any]) -> str | None:
    if not row["cut"] or 100 * row["cut"] / row["compared"] < MANY_CUT:
        return None
    return (
        f"of {row['cut']} of {row['compared']} pairs, a text is longer than {row['scorer']} reads: "
        "what stands at its end is not counted."
    )


def _concepts(row: Mapping[str, Any]) -> str | None:
    low, high = row["concepts_low"], row["concepts_high"]
    if low is None or not (row["low"] > CHANCE >= low):
        return None
    return f"for other concepts, too, the interval is {percent(low)} to {percent(high)}, which holds 50."


def _others(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str | None:
    """Return by which scorers the words would be others."""
    differing = [
        f"{other['verdict']} by {other['scorer']} ({percent(other['rate'])})"
        for other in others
        if other["rate"] is not None and other["verdict"] != row["verdict"]
    ]
    return f"{row['verdict']} by {row['scorer']}, but {', '.join(differing)}." if differing else None
