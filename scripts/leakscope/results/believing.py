"""When not to believe a match rate: reasons for doubt in the run's own tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from leakscope.errors import counted
from leakscope.results.headline import BELOW, CHANCE, LEAKS, percent

FALL = 5.0
"""Drop of a rate without repetition, in points, beyond which the page mentions it."""
MANY_ECHOES, MANY_EMPTY, MANY_FOREIGN, MANY_CUT = 20.0, 10.0, 10.0, 1.0
"""Percent: texts that restate their prompt, are empty, or are in a foreign script; pairs with a text that is cut."""
MOST_ALIKE = 3
"""Models with the same kind of mark that are listed one by one."""


class Doubt(NamedTuple):
    """A reason to doubt a model's match rate.

    of_one: the reason, to follow the model's name.
    of_many: the reason for several models at once, without numbers.
    """

    of_one: str
    of_many: str


class Doubted(NamedTuple):
    """A model's display name and its marks."""

    name: str
    marks: Sequence[Doubt]


def marks(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = (), level: float = 0.95) -> list[Doubt]:
    """Return the reasons to doubt a model's match rate; empty if the tables have none.

    Args:
        row: of ``rows.rate_rows``.
        others: the model's rows by other scorers, for the same prompt set and category.
        level: of intervals, 0 to 1.
    """
    if row["rate"] is None:
        return []
    own = (_few, _repetition, _echo, _empty, _foreign, _cut, _concepts)
    found = [*(find(row) for find in own), _corrected(row, level), _others(row, others)]
    return [mark for mark in found if mark]


def doubts(models: Iterable[Doubted]) -> list[str]:
    """Return a sentence for each mark of each model; a mark that many models share has one sentence for all."""
    models = list(models)
    alike: dict[str, list[str]] = {}
    for model in models:
        for mark in model.marks:
            alike.setdefault(mark.of_many, []).append(model.name)
    said: dict[str, None] = {}
    for model in models:
        for mark in model.marks:
            names = alike[mark.of_many]
            many = f"{len(names)} of {len(models)} models: {mark.of_many} ({listed(names)})."
            said[f"{model.name}: {mark.of_one}" if len(names) <= MOST_ALIKE else many] = None
    return list(said)


def listed(names: Sequence[str]) -> str:
    """Return the first names and the number of further names.

    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = len(names) - MOST_ALIKE
    return ", ".join(names[:MOST_ALIKE]) + (f" and {more} more" if more > 0 else "")


def _few(row: Mapping[str, Any]) -> Doubt | None:
    """Return the doubt about a design with fewer than ten templates or concepts."""
    if not row["few"]:
        return None
    templates = counted(row["clusters"], "unrelated template", "unrelated templates")
    numbers = f"{templates}, {counted(row['concepts'], 'concept', 'concepts')}"
    rest = "an interval from so few is unreliable"
    return Doubt(f"fewer than ten {row['few']} ({numbers}): {rest}.", f"fewer than ten {row['few']}: {rest}")


def _repetition(row: Mapping[str, Any]) -> Doubt | None:
    without = row["without_repetition"]
    if without is None:
        nothing = "in every pair a text names one of the two concepts: nothing but repetition can be measured"
        return Doubt(f"{nothing}.", nothing)
    if row["rate"] - without <= FALL:
        return None
    return Doubt(
        f"in {percent(row['repetition'])} % of the pairs a text names one of the two concepts; of the other pairs "
        f"{percent(without)} of 100 are matched, not {percent(row['rate'])}.",
        f"without pairs in which a text names one of the two concepts, more than {FALL:.0f} fewer of 100 are matched",
    )


def _echo(row: Mapping[str, Any]) -> Doubt | None:
    if (row["echo"] or 0) < MANY_ECHOES:
        return None
    without = row["without_echo"]
    rest = "" if without is None else f"; of pairs in which none does, {percent(without)} of 100 are matched"
    return Doubt(
        f"{row['echo']:.0f} % of its texts restate their prompt, which is no leak{rest}.",
        f"{MANY_ECHOES:.0f} % of their texts or more restate their prompt, which is no leak",
    )


def _empty(row: Mapping[str, Any]) -> Doubt | None:
    if (row["empty"] or 0) < MANY_EMPTY:
        return None
    ties = "each of them ties, which draws the rate to 50"
    unfinished = row["unfinished"] or 0
    why = f" (unfinished thoughts: {unfinished:.0f} %)" if unfinished else ""
    return Doubt(
        f"{row['empty']:.0f} % of its texts are empty{why}; {ties}.",
        f"{MANY_EMPTY:.0f} % of their texts or more are empty; {ties}",
    )


def _foreign(row: Mapping[str, Any]) -> Doubt | None:
    if (row["foreign"] or 0) < MANY_FOREIGN:
        return None
    rest = "in another script than their prompts"
    return Doubt(f"{row['foreign']:.0f} % of its texts are {rest}.", f"{MANY_FOREIGN:.0f} % of their texts are {rest}")


def _cut(row: Mapping[str, Any]) -> Doubt | None:
    if not row["cut"] or 100 * row["cut"] / row["compared"] < MANY_CUT:
        return None
    rest = f"a text is longer than {row['scorer']} reads: its end is not scored"
    return Doubt(
        f"in {row['cut']} of {row['compared']} pairs, {rest}.", f"in {MANY_CUT:.0f} % of the pairs or more, {rest}"
    )


def _concepts(row: Mapping[str, Any]) -> Doubt | None:
    low, high = row["concepts_low"], row["concepts_high"]
    if low is None or not (row["low"] > CHANCE >= low):
        return None
    return Doubt(
        f"for other templates and other concepts, the interval is {percent(low)} to {percent(high)} and contains 50.",
        "for other templates and other concepts, the interval contains 50",
    )


def _corrected(row: Mapping[str, Any], level: float) -> Doubt | None:
    """Return the doubt about a rate that differs from 50 before but not after correction for all tests of the study."""
    if row["verdict"] not in (LEAKS, BELOW) or row["p"] is None or row["p"] <= 1 - level:
        return None
    rest = "by the interval only: corrected for all rates that the study tests, p is"
    return Doubt(f"{row['verdict']} {rest} {row['p']:.2g}.", f"“{row['verdict']}” {rest} above {1 - level:.2g}")


def _others(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> Doubt | None:
    """Return the scorers with another verdict; two verdicts that find nothing do not contradict each other."""
    known = [other for other in others if other["rate"] is not None and other["verdict"] != row["verdict"]]
    differing = [other for other in known if {other["verdict"], row["verdict"]} & {LEAKS, BELOW}]
    if not differing:
        return None
    said = ", ".join(f"{other['verdict']} by {other['scorer']} ({percent(other['rate'])})" for other in differing)
    whose = ", ".join(other["scorer"] for other in differing)
    return Doubt(
        f"{row['verdict']} by {row['scorer']}, but {said}.",
        f"“{row['verdict']}” by {row['scorer']}, but not by {whose}",
    )
