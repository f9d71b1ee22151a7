"""Figures of the step ``validate``: which is drawn from which tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from leakscope.errors import one_of
from leakscope.figures.fitting import MODELS, Drawing, Part, Tables, fitted
from leakscope.figures.lanes import Labels
from leakscope.figures.validate.closing import closing
from leakscope.figures.validate.form_maps import form_agreement
from leakscope.figures.validate.gaps import correlations, log_odds_density, truth
from leakscope.figures.validate.layers import lens_heatmap, log_odds_by_layer

Bases = Mapping[str, str]

# name → the function of a study's tables and its models' labels
FIGURES: dict[str, Callable[[Tables, Labels], Figure]] = {
    "log_odds_density": lambda t, labels: log_odds_density(_named(t["paired"], labels), labels=labels),
    "correlations": lambda t, labels: correlations(t["correlations"], labels=labels),
    "log_odds_by_layer": lambda t, labels: log_odds_by_layer(
        _named(t["layers"], labels), _named(t["parting"], labels), labels=labels
    ),
    "lens_heatmap": lambda t, labels: lens_heatmap(t, title=" · ".join(labels.values())),
    "form_agreement": lambda t, labels: form_agreement(_named(t["form_agreement"], labels), labels=labels),
    "truth": lambda t, labels: truth(t["truth"], labels=labels),
    "closing": lambda t, labels: closing(t["closing"], labels=labels),
}

TASKS = Part("tasks", ("task",))
# name → what the PNG may have less of
PARTS: dict[str, tuple[Part, ...]] = {
    **dict.fromkeys(FIGURES, (TASKS, MODELS)),
    "lens_heatmap": (Part("tasks"),),
    "closing": (Part("models", ("base",)), Part("methods", ("method",))),
}


def draw(name: str, tables: Mapping[str, Path], *, labels: Labels, bases: Bases) -> Drawing:
    """Return a figure drawn from CSV and Parquet tables, and the form of it that a screen holds.

    Args:
        name: of the figure.
        tables: name → file; those of ``lens_heatmap`` are one model's, and their names are tasks.
        labels: model → label, in the order of the study. Figures with a panel a model draw these models alone; the
            label of ``lens_heatmap`` is its model's.
        bases: tuned model → the model it was tuned from; it is drawn after that one.

    Raises:
        InputError: there is no such figure.
    """
    if name not in FIGURES:
        raise one_of("figure", name, FIGURES)
    frames, ordered = {table: _read(path) for table, path in tables.items()}, _after_bases(labels, bases)
    return fitted(lambda some: FIGURES[name](some, ordered), frames, PARTS[name], ordered)


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def _named(table: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    return table[table["model"].isin(list(labels))]


def _after_bases(labels: Labels, bases: Bases) -> dict[str, str]:
    """Return the labels with every tuned model behind its base, otherwise in their order."""
    place = {model: number for number, model in enumerate(labels)}

    def key(model: str) -> list[int]:
        base = bases.get(model)
        return [*(key(base) if base in place and base != model else []), place[model]]

    return {model: labels[model] for model in sorted(labels, key=key)}
