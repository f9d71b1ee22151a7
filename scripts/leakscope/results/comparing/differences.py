"""What differs in what two results found: differences of match rates, paired by unit; and what cannot be paired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leakscope.files.names import POOLED
from leakscope.leak.measures.comparisons import compare_values, with_corrected
from leakscope.leak.measures.leak_rate import ROUNDING
from leakscope.results.comparing.sides import ComparedSide

RATES = ["n_units", "n_unmatched", "n_differing", "rate_a", "rate_b"]
TESTS = ["n_clusters", "difference", "ci_low", "ci_high", "effect_size", "p_value", "p_smallest"]
CORRECTED = ["family", "p_corrected", "p_corrected_smallest"]
READS = "scorer_reads"
KEYS = ["model_a", "model_b", "prompt_set", "scorer", "category"]
COUNTS = ["n_units", "n_unmatched", "n_differing", "n_clusters"]
COLUMNS = [*KEYS, *RATES, *TESTS, *CORRECTED, READS, "not_paired"]
PLACE = ["category", "unit", "cluster", "n_groups"]
# Of a scorer, what people say of it.
SAID = ("label", "description", "languages")
A, B = "a", "b"
SHOWN = 12
"""Digits of a hash in a reason."""


class Cell(NamedTuple):
    """Two models, a prompt set and a scorer; and why they are not paired, empty where they are."""

    model_a: str
    model_b: str
    prompt_set: str
    scorer: str
    reason: str


def paired_differences(a: ComparedSide, b: ComparedSide) -> pd.DataFrame:
    """Return ``COLUMNS``: how much the match rates of the same prompts differ, a − b, in points.

    Models of the same name are paired; where each side has one model that is no organism, these two are. Prompt sets
    have to have the same hash and scorers the same settings. A unit in which the two have different numbers of
    groups is left out (``n_unmatched``, with those that only one has); ``rate_*`` are over the others, of which
    ``n_differing`` have another value. Tests are those of ``compare_models``, corrected together: the primary family
    is ``all`` of each prompt set by the first scorer of a that can be paired.

    What is not paired has one row with the reason and no numbers.

    Args:
        a: whose level of intervals and number of permutations are taken.
        b: the other.
    """
    cells = list(_cells(a, b))
    paired = [cell for cell in cells if not cell.reason]
    tables = [_compared(cell, a, b) for cell in paired]
    rows = [pd.DataFrame([cell._asdict() for cell in cells if cell.reason]).rename(columns={"reason": "not_paired"})]
    if tables:
        table = pd.concat(tables, ignore_index=True)
        primary = {"category": [POOLED], "scorer": [paired[0].scorer]}
        tested = with_corrected(table.assign(measure="match_rate"), primary)
        rows = [table.assign(**{name: tested[name] for name in CORRECTED}), *rows]
    return pd.concat(rows, ignore_index=True).reindex(columns=COLUMNS).astype(dict.fromkeys(COUNTS, "Int64"))


def _cells(a: ComparedSide, b: ComparedSide) -> Iterator[Cell]:
    pairs, single = _models(a, b)
    for name, reason in single:
        yield Cell(name if name in _all(a) else "", name if name in _all(b) else "", "", "", reason)
    scorers = _both(list(a.settings["configuration"]["scorers"]), list(b.settings["configuration"]["scorers"]))
    for model_a, model_b in pairs:
        for prompt_set in _both(list(a.settings["prompt_sets"]), list(b.settings["prompt_sets"])):
            for scorer in scorers:
                cell = Cell(model_a, model_b, prompt_set, scorer, _reason(a, b, prompt_set, scorer))
                yield cell if cell.reason else cell._replace(reason=_nothing_shared(cell, a, b))


def _models(a: ComparedSide, b: ComparedSide) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return pairs of models, and each other model with why it has no partner."""
    pairs = [(a.models[0], b.models[0])] if len(a.models) == len(b.models) == 1 else []
    taken = {name for pair in pairs for name in pair}
    shared = [name for name in _all(a) if name in _all(b) and name not in taken]
    others = [name for name in _both(_all(a), _all(b)) if name not in taken and name not in shared]
    lone = [(name, f"only {'A' if name in _all(a) else 'B'} has outcomes of this model") for name in others]
    return [*pairs, *((name, name) for name in shared)], lone


def _all(side: ComparedSide) -> list[str]:
    return [*side.models, *side.organisms]


def _both(one: Iterable[str], other: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*one, *other]))


def _reason(a: ComparedSide, b: ComparedSide, prompt_set: str, scorer: str) -> str:
    """Return why a prompt set and scorer of two results cannot be paired; nothing where they can."""
    for kind, name in (("prompt_set", prompt_set), ("scorer", scorer)):
        missing = [letter for letter, side in (("A", a), ("B", b)) if not side.has(kind, name)]
        if missing:
            return f"{' and '.join(missing)} {'has' if len(missing) == 1 else 'have'} no outcomes of it"
    hashes = [side.settings["prompt_sets"].get(prompt_set, {}).get("sha256") for side in (a, b)]
    if hashes[0] != hashes[1] or hashes[0] is None:
        known = [value[:SHOWN] if isinstance(value, str) else "not known" for value in hashes]
        return f"other prompts: SHA-256 {known[0]} and {known[1]}"
    if _scorer(a, scorer) != _scorer(b, scorer):
        return "another scorer of the same name: see the settings"
    return ""


def _nothing_shared(cell: Cell, a: ComparedSide, b: ComparedSide) -> str:
    """Return why two models have no unit in common; nothing where they have one."""
    values = _outcomes(a, cell.model_a, cell), _outcomes(b, cell.model_b, cell)
    missing = [letter for letter, table in zip("AB", values, strict=True) if table.empty]
    if missing:
        return f"the model of {' and of '.join(missing)} has no outcomes of it"
    return "" if len(values[0].merge(values[1], on=PLACE)) else "no unit in common"


def _scorer(side: ComparedSide, name: str) -> Any:
    configuration = side.settings["configuration"]
    entry = {key: value for key, value in configuration["scorers"].get(name, {}).items() if key not in SAID}
    return entry, side.settings.get("scorers", {}).get(name), configuration["leak"].get("decimals")


def _compared(cell: Cell, a: ComparedSide, b: ComparedSide) -> pd.DataFrame:
    """Return the differences of two models on one prompt set by one scorer: ``all`` and each category."""
    settings = a.settings["configuration"]["leak"]
    values = [_outcomes(side, model, cell) for side, model in ((a, cell.model_a), (b, cell.model_b))]
    both = pd.concat([values[0].assign(model=A), values[1].assign(model=B)], ignore_index=True)
    tested = compare_values(both, settings["level"], settings["permutations"])
    rates = pd.DataFrame([_rates(values[0], values[1], category) for category in tested["category"]], columns=RATES)
    reads = {side.reads.get((cell.prompt_set, cell.scorer)) for side in (a, b)}
    named: dict[str, str | None] = {key: getattr(cell, key) for key in KEYS[:-1]}
    named[READS] = next((word for word in ("no", "yes") if word in reads), None)
    return pd.concat([rates, tested[["category", *TESTS]].reset_index(drop=True)], axis=1).assign(**named)


def _outcomes(side: ComparedSide, model: str, cell: Cell) -> pd.DataFrame:
    units = side.units
    return units[
        (units["model"] == model) & (units["prompt_set"] == cell.prompt_set) & (units["scorer"] == cell.scorer)
    ]


def _rates(a: pd.DataFrame, b: pd.DataFrame, category: str) -> tuple[int, int, int, float, float]:
    """Return how many units are matched, are not, and differ; and both match rates of the matched ones, in percent."""
    if category != POOLED:
        a, b = (side[side["category"] == category] for side in (a, b))
    matched = a.merge(b, on=PLACE, suffixes=("_a", "_b"))
    weight = matched["n_groups"].to_numpy(dtype=float)
    rates = [
        100 * float((weight * matched[f"match_{side}"]).sum() / weight.sum()) if len(matched) else np.nan
        for side in (A, B)
    ]
    differing = int((matched["match_a"] != matched["match_b"]).sum())
    unmatched = len(a) + len(b) - 2 * len(matched)
    return len(matched), unmatched, differing, round(rates[0], ROUNDING), round(rates[1], ROUNDING)
