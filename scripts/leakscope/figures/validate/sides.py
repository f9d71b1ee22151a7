"""Shared by figures of generator and validator: a panel for each task and model, main prompt forms, colors."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from leakscope.figures.style import COLORS, Labels, label_of, model_order, unique

POSITIVE, NEGATIVE, BOTH = COLORS[0], COLORS[1], COLORS[5]


class Panel(NamedTuple):
    """One of the small multiples: its task, model and title."""

    task: str
    model: str
    title: str


def main_forms(table: pd.DataFrame, column: str = "form") -> pd.DataFrame:
    """Keep for each task and model the rows of its main prompt form or style, the first in the table."""
    return table[table[column] == table.groupby(["task", "model"], sort=False)[column].transform("first")]


def model_panels(table: pd.DataFrame, labels: Labels) -> list[Panel]:
    """Return a panel for each task and model, models in the order of the study; with one task, its name is left out."""
    tasks = unique(table["task"])
    return [
        Panel(task, model, label_of(model, labels) + (f" · {task}" if len(tasks) > 1 else ""))
        for task in tasks
        for model in model_order(table[table["task"] == task], labels)
    ]
