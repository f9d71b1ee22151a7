"""Figures of `ground`, `validate` and `features` of few and of very many models: what a page holds, and that once."""

from __future__ import annotations

from functools import cache
from itertools import chain, product

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crowded_tables import Crowd
from leakscope.figures.fitting import Drawing, Part, Tables, fitted
from leakscope.figures.style import PAGE_HEIGHT, PLACEHOLDER, double

# What is drawn again and again, whatever a panel is of.
EVERYWHERE = ("reference", "identity", "parting", "layer_generator", "layer_validator")


@cache
def crowd(n: int) -> Crowd:
    """Return a study of ``n`` models: the more models, the less of all else, which is drawn in the same way."""
    return Crowd(n, {2: 2, 8: 1, 40: 1}[n])


@cache
def tables(n: int) -> dict[tuple[str, str], dict[str, pd.DataFrame]]:
    return crowd(n).figures()


def drawing(n: int, step: str, name: str) -> Drawing:
    return crowd(n).drawn(step, name, tables(n)[step, name])


def numbers_of(ax: Axes) -> tuple[bytes, ...]:
    """Return all numbers that a panel shows, none if it shows nothing: not lines through the panel, nor lanes."""
    return tuple(sorted(filter(None, chain(map(_of_line, ax.lines), map(_of_marks, ax.collections), _bars(ax)))))


def _of_line(line: Line2D) -> bytes:
    if line.get_gid() in EVERYWHERE or line.get_transform() != line.axes.transData:
        return b""
    return _finite(np.column_stack([np.asarray(values, float) for values in line.get_data()]))


def _of_marks(marks: Collection) -> bytes:
    values = marks.get_array()  # of a map
    if values is not None:
        return _finite(np.ma.filled(np.ma.asarray(values, float), np.nan).reshape(-1, 1))
    places = [np.asarray(marks.get_offsets(), float), *(path.vertices for path in marks.get_paths())]
    return _finite(np.concatenate(places))


def _bars(ax: Axes) -> list[bytes]:
    bars = [[bar.get_x(), bar.get_y(), bar.get_width()] for container in ax.containers for bar in container]
    return [_finite(np.array(bars, float))] if bars else []


def _finite(numbers: np.ndarray) -> bytes:
    known = numbers[np.isfinite(numbers).all(axis=1)]
    return known.tobytes() if len(known) else b""


# Of forty models one figure a step: the others are for those who have more time.
QUICK = ("kendall_tau", "correlations", "quality")
CASES = [
    pytest.param(n, *figure, marks=[] if n == 2 or (n == 40 and figure[1] in QUICK) else pytest.mark.slow)
    for figure, n in product(tables(2), (2, 8, 40))
]


@pytest.mark.parametrize(("n", "step", "name"), CASES)
def test_a_page_is_nine_inches_high_and_two_columns_wide_and_no_panel_is_empty_or_there_twice(
    n: int, step: str, name: str
) -> None:
    pages, short = drawing(n, step, name)
    for fig in [*pages, short]:
        assert fig.get_figheight() <= PAGE_HEIGHT + 0.01
        assert fig.get_figwidth() <= double() + 0.01
        assert fig.get_label() != PLACEHOLDER
    panels = [numbers_of(ax) for fig in pages for ax in fig.axes if ax.get_label() != "<colorbar>"]
    assert all(panels)
    assert len(set(panels)) == len(panels)


def test_what_a_panel_shows_is_told_from_what_all_have() -> None:
    empty, full, other = Figure().subplots(3)
    for ax, value in ((empty, np.nan), (full, 1.0), (other, 2.0)):
        ax.axvline(0)
        ax.axhspan(0.5, 1.5)
        ax.plot([0, 1], [0, 1], gid="identity")
        ax.plot(value, 0, marker="o")
    assert numbers_of(empty) == ()
    assert numbers_of(full) != numbers_of(other)


def test_many_models_are_sorted_by_value_and_few_stand_as_in_the_study() -> None:
    for n in (8, 40):
        table = tables(n)["validate", "correlations"]["correlations"]
        first = table[(table["task"] == "hypernymy") & (table["subset"] == "all")].set_index("model")["value"]
        order = first.sort_values(ascending=False).index if n == 40 else first.index
        pages = drawing(n, "validate", "correlations").pages
        lanes = [label.get_text() for fig in pages for label in fig.axes[0].get_yticklabels()]
        assert lanes == [crowd(n).labels[model] for model in order]


def test_a_page_of_one_value_alone_says_which() -> None:
    def draw(some: Tables) -> Figure:
        return Figure(figsize=(7, 5 * some["t"]["task"].nunique()))

    table = pd.DataFrame({"task": ["a", "b"]})
    pages, short = fitted(draw, {"t": table}, [Part("tasks", ("task",))], {"a": "the first"})
    assert [fig.get_supxlabel() for fig in pages] == ["Tasks: the first. Page 1 of 2.", "Tasks: b. Page 2 of 2."]
    assert short.get_supxlabel().startswith("Shown: 1 of 2 tasks (the first); ")
