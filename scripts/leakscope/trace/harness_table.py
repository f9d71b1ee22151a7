"""``mitigations_tasks.csv``: scores of tasks with and without a mitigation, and how far they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leakscope.trace.removal.columns import NONE

TASK_COLUMNS = ["task", "metric", "value", "stderr", "n_examples", "values"]
"""``values``: of each example in order, where ``value`` is their mean; else null."""
HARNESS_COLUMNS = [
    "model", "prompt_set", "mitigation", "strength", "task", "metric", "value", "stderr", "value_base", "difference",
    "difference_stderr", "n_examples", "empty_because",
]  # fmt: skip


class Trial(NamedTuple):
    """A model, a prompt set and a mitigation, with what is known of it.

    strength: that was scored; None of the model as it is, and where nothing was scored.
    scores: ``TASK_COLUMNS``; no rows where nothing was scored.
    """

    model: str
    prompt_set: str
    mitigation: str
    strength: float | None
    scores: pd.DataFrame


def compare_tasks(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return ``HARNESS_COLUMNS``: a row a mitigation, task and metric, and those of each model as it is.

        difference         value − ``value_base``
        difference_stderr  s / √n, s the standard deviation of the examples' differences; NaN of what is no mean

    Args:
        trials: of all models and prompt sets, the model as it is among them.
    """
    base = {(trial.model, trial.prompt_set): trial.scores for trial in trials if trial.mitigation == NONE}
    tables = [_compared(trial, base[trial.model, trial.prompt_set]) for trial in trials]
    return pd.DataFrame([row for rows in tables for row in rows], columns=HARNESS_COLUMNS)


def _compared(trial: Trial, base: pd.DataFrame) -> Iterator[dict[str, Any]]:
    names = {"model": trial.model, "prompt_set": trial.prompt_set, "mitigation": trial.mitigation}
    if trial.scores.empty:
        yield {**names, "empty_because": "nothing that was tried costs so little"}
        return
    known = base.set_index(["task", "metric"])
    for row in trial.scores.to_dict("records"):
        before = known.loc[(row["task"], row["metric"])]
        found = {**names, "strength": trial.strength, **{str(key): row[key] for key in TASK_COLUMNS[:-1]}}
        if trial.mitigation != NONE:
            found["value_base"] = before["value"]
            found["difference"] = row["value"] - before["value"]
            found["difference_stderr"] = paired_error(row["values"], before["values"])
        yield found


def paired_error(values: Sequence[float] | None, before: Sequence[float] | None) -> float:
    """Return the standard error of the mean difference of pairs, s / √n; NaN of fewer than two, or of what is no pair.

    Args:
        values: of each example.
        before: likewise, of the same examples.
    """
    if values is None or before is None or not 1 < len(values) == len(before):
        return np.nan
    difference = np.asarray(values, dtype=float) - np.asarray(before, dtype=float)
    return float(difference.std(ddof=1) / np.sqrt(len(difference)))
