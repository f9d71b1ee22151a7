"""Findings of the other steps of a study: a sentence and a short table each, from the step's leading table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

MOST_ROWS = 12
"""Of a step's table on the page; the file has all rows."""
Names = Mapping[str, str]


class StepFinding(NamedTuple):
    """A sentence, and the header and cells of a table."""

    sentence: str
    header: list[str]
    rows: list[list[str]]


def found_in(name: str, table: pd.DataFrame, names: Names) -> StepFinding:
    """Return the finding of a step.

    Args:
        name: of the step's leading table: one of ``READERS``.
        table: the leading table.
        names: model → display name; a model without one keeps its name.
    """
    return READERS[name](table, names)


def _kendall_tau(table: pd.DataFrame, names: Names) -> StepFinding:
    header = ["model", "axis", "language", "comparison", "tau", "interval", "baseline", "subjects"]
    rows = [
        [_name(row, names), row["axis"], _text(row["language"]), row["comparison"], _number(row["tau"]), _interval(row),
         _number(row["baseline_tau"]), str(row["n_subjects"])]
        for row in table.head(MOST_ROWS).to_dict("records")
    ]  # fmt: skip
    known = table[(table["comparison"] == "counts-model") & table["tau"].notna()]
    if known.empty:
        return StepFinding("No model's ranking could be compared with counts.", header, rows)
    row = known.iloc[0].to_dict()
    sentence = (
        f"{_name(row, names)} ranks {row['axis']} by their counts in its corpus with a Kendall tau of "
        f"{_both(row, 'tau')}; 1 is the same ranking, 0 is no agreement, and a ranking that knows only which groups "
        f"are written about most reaches {_number(row['baseline_tau'])}."
    )
    return StepFinding(sentence, header, rows)


def _correlations(table: pd.DataFrame, names: Names) -> StepFinding:
    header = ["model", "task", "form", "correlation", "interval", "items"]
    known = table[(table["statistic"] == "pearson") & (table["subset"] == "all")]
    known = known[known["split"] == known["split"].iloc[0]] if len(known) else known
    rows = [
        [_name(row, names), row["task"], row["form"], _number(row["value"]), _interval(row), str(row["n"])]
        for row in known.head(MOST_ROWS).to_dict("records")
    ]
    known = known[known["value"].notna()]
    if known.empty:
        return StepFinding("No correlation of generator and validator is known.", header, rows)
    row = known.iloc[0].to_dict()
    sentence = (
        f"In the task {row['task']} ({row['form']}), generator and validator log-odds of {_name(row, names)} have a "
        f"correlation of {_both(row, 'value')}; 1 is no gap, 0 is no relation."
    )
    return StepFinding(sentence, header, rows)


def _quality(table: pd.DataFrame, names: Names) -> StepFinding:
    header = [
        "dictionary", "model", "layer", "features per token", "dead (%)", "variance unexplained (%)",
        "cross-entropy recovered (%)",
    ]  # fmt: skip
    rows = [
        [row["label"], _name(row, names), str(row["layer"]), f"{row['l0']:.0f}", _hundred(row["dead_share"]),
         _hundred(row["variance_unexplained"]), _hundred(row["cross_entropy_recovered"])]
        for row in table.head(MOST_ROWS).to_dict("records")
    ]  # fmt: skip
    if table.empty:
        return StepFinding("No dictionary is described.", header, rows)
    row = table.iloc[0].to_dict()
    sentence = (
        f"The dictionary {row['label']} reconstructs layer {row['layer']} of {_name(row, names)} from "
        f"{row['l0']:.0f} features per token and leaves {_hundred(row['variance_unexplained'])} % of the variance "
        "unexplained."
    )
    return StepFinding(sentence, header, rows)


def _effects(table: pd.DataFrame, names: Names) -> StepFinding:
    header = ["dictionary", "contrast", "edited", "remaining gap", "interval", "rise in perplexity (%)"]
    known = table[(table["split"] == "evaluation") & (table["chosen"] | (table["intervention"] == "none"))]
    rows = [
        [row["dictionary"], row["contrast"], EDITED[row["intervention"]], _three(row["mean_abs_gap"]),
         _interval(row, _three), _cost(row)]
        for row in known.head(MOST_ROWS).to_dict("records")
    ]  # fmt: skip
    edits = known[known["intervention"] == "features"]
    if edits.empty:
        return StepFinding("No edit of features was chosen.", header, rows)
    row = edits.iloc[0].to_dict()
    alike = known[(known["dictionary"] == row["dictionary"]) & (known["contrast"] == row["contrast"])]
    by = alike.drop_duplicates("intervention").set_index("intervention")["mean_abs_gap"]
    chance = f"; random features leave {_three(by['random_features'])}" if "random_features" in by else ""
    cost = f"while perplexity rises by {_cost(row)} %"
    left = f"{_three(row['mean_abs_gap'])} ({_interval(row, _three)})"
    sentence = (
        f"Editing features of the dictionary {row['dictionary']} changes the gap between the sides of "
        f"{row['contrast']} from {_three(by['none'])} to {left}, {cost}{chance}."
    )
    return StepFinding(sentence, header, rows)


# Condition of the sentence, by link.
MORE = {
    "count": "the more often both co-occur in its corpus",
    "knows": "the better it knows the association",
    "affirms": "the more it affirms the association",
}


def _relations(table: pd.DataFrame, names: Names) -> StepFinding:
    header = ["model", "prompts", "link", "with", "beyond", "slope", "interval", "correlation", "interval"]
    rows = [
        [_name(row, names), row["prompt_set"], row["x"], row["y"], _text(row["given"]), _two(row["slope"]),
         _limits(row, "slope_low", "slope_high", _two), _number(row["correlation"]), _interval(row)]
        for row in table.head(MOST_ROWS).to_dict("records")
    ]  # fmt: skip
    to_leak = table[(table["y"] == "leak") & table["given"].isna() & table["correlation"].notna()]
    if to_leak.empty:
        return StepFinding("No link of an association could be related to the leak.", header, rows)
    row = to_leak.iloc[0].to_dict()
    sentence = (
        f"Does {_name(row, names)} leak an association more {MORE[row['x']]}? The correlation is "
        f"{_both(row, 'correlation')} over {row['n_pairs']:,} pairs of concept and associate (0: no relation; "
        "negative: less)."
    )
    return StepFinding(sentence, header, rows)


def _cost(row: Mapping[Any, Any]) -> str:
    return f"{row['cost']:.1f}".replace("-", "−")


EDITED = {
    "none": "nothing",
    "features": "features",
    "difference_in_means": "difference in means",
    "random_features": "random features",
    "random_direction": "random direction",
}
# By the name of a table.
READERS: dict[str, Callable[[pd.DataFrame, Names], StepFinding]] = {
    "kendall_tau": _kendall_tau,
    "correlations": _correlations,
    "effects": _effects,
    "quality": _quality,
    "relations": _relations,
}


def _name(row: Mapping[Any, Any], names: Names) -> str:
    model = _text(row["model"])
    return names.get(model, model)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: float) -> str:
    """Return a number from −1 to 1 with two decimals.

    >>> _number(-0.0971), _number(1.0)
    ('−.10', '1.00')
    """
    return "" if math.isnan(value) else f"{value:.2f}".replace("-", "−").replace("0.", ".")


def _three(value: float) -> str:
    """Return a gap of probabilities, which may be small, with three decimals."""
    return "" if math.isnan(value) else f"{value:.3f}".replace("-", "−").replace("0.", ".")


def _hundred(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.0f}"


def _two(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}".replace("-", "−")


def _interval(row: Mapping[Any, Any], write: Callable[[float], str] = _number) -> str:
    return _limits(row, "ci_low", "ci_high", write)


def _limits(row: Mapping[Any, Any], low: str, high: str, write: Callable[[float], str]) -> str:
    return "" if math.isnan(row[low]) else f"{write(row[low])} to {write(row[high])}"


def _both(row: Mapping[Any, Any], name: str) -> str:
    interval = _interval(row)
    return f"{_number(row[name])} ({interval})" if interval else _number(row[name])
