"""A figure of any step, drawn from files of tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from leakscope.errors import one_of
from leakscope.figures.fitting import Drawing, Tables, fitted
from leakscope.figures.look import looking
from leakscope.figures.ordering import by_value
from leakscope.figures.panels import with_values
from leakscope.figures.registry import DICTIONARIES, FIGURES, Context, Kind
from leakscope.figures.style import label_of
from leakscope.files.tables import read_csv

__all__ = ["Context", "draw"]


def draw(step: str, name: str, tables: Mapping[str, Path], context: Context) -> Drawing:
    """Return a figure of a step drawn from CSV and Parquet tables, and its short form for a screen.

    Args:
        step: ``leak``, ``ground``, ``validate`` or ``features``.
        name: of the figure; a figure of a single model is named ``<figure>/<model>/<task>``.
        tables: name → file. Figures see the part of a name after the last slash (``dictionaries/<name>``).
        context: properties of the study that figures need in addition to tables.

    Raises:
        InputError: there is no such figure.
    """
    if step not in FIGURES:
        raise one_of("step", step, FIGURES)
    figure, *of = name.split("/")
    if figure not in FIGURES[step]:
        raise one_of(f"figure of {step}", figure, FIGURES[step])
    kind = FIGURES[step][figure]
    known = _of_kind(context, kind, of[:1])
    frames = {table.rpartition("/")[2]: _read(path) for table, path in tables.items()}
    with looking(context.look):
        return arranged(kind, frames, known)


def arranged(kind: Kind, tables: Tables, context: Context) -> Drawing:
    """Return a figure of these tables in its order, and its short form for a screen."""
    tables, note = dict(kind.rows(tables, context) if kind.rows else tables), ""
    if kind.shown:
        first = next(iter(tables))
        tables[first], note = with_values(tables[first], kind.shown.panel, *kind.shown.values)
    known = context._replace(labels=by_value(tables, kind.order, context.labels)) if kind.order else context
    # Marks are means over seeds: the seeds of a family stay or go together.
    parts = [part._replace(of=known.families) if part == DICTIONARIES else part for part in kind.parts]
    return fitted(lambda some: kind.draw(some, known), tables, parts, known.labels, note)


def _read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else read_csv(path)


def _of_kind(context: Context, kind: Kind, models: list[str]) -> Context:
    """Return the context with the labels that the figure needs: of all or only these models, or of dictionaries."""
    if kind.of_dictionaries:
        return context._replace(labels=context.dictionaries)
    if models:
        return context._replace(labels={model: label_of(model, context.labels) for model in models})
    return context._replace(labels=_after_bases(context.labels, context.bases))


def _after_bases(labels: Mapping[str, str], bases: Mapping[str, str]) -> dict[str, str]:
    """Return the labels with every tuned model behind its base, otherwise in their order."""
    place = {model: number for number, model in enumerate(labels)}

    def key(model: str) -> list[int]:
        base = bases.get(model)
        return [*(key(base) if base in place and base != model else []), place[model]]

    return {model: labels[model] for model in sorted(labels, key=key)}
