"""What holds of the figures of the step leak, whatever number of models and prompt sets a study has."""

from __future__ import annotations

from functools import cache
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from leak_tables import Study, leak_study
from leakscope.figures.drawing import arranged
from leakscope.figures.fitting import Drawing
from leakscope.figures.look import Looks, looking
from leakscope.figures.ordering import Order, by_value
from leakscope.figures.panels import grid_of, with_values, without_repeated_category
from leakscope.figures.registry import FIGURES
from leakscope.figures.style import MAX_HEIGHT, PAGE_HEIGHT
from test_plot import figures_of

# models → prompt sets
STUDIES = {2: 3, 8: 2, 40: 1}


@cache
def study_of(n_models: int) -> Study:
    return leak_study(n_models, STUDIES[n_models], n_categories=3, n_templates=4)


@cache
def drawn(name: str, n_models: int) -> Drawing:
    tables, context = study_of(n_models)
    shown = {table.rpartition("/")[2]: tables[table] for table in figures_of("leak")[name]}
    return arranged(FIGURES["leak"][name], shown, context)


def panels(fig: Figure) -> list[Axes]:
    return [ax for ax in fig.axes if ax.get_label() != "<colorbar>"]


def content(ax: Axes) -> list[bytes]:
    """Return all values that a panel shows, in all their digits."""
    points = [np.asarray(line.get_xydata()) for line in ax.lines if line.get_gid() not in ("reference", "identity")]
    cells = [np.ma.compressed(mesh.get_array()) for mesh in ax.collections if isinstance(mesh, QuadMesh)]
    arrays = [array[np.isfinite(array).all(axis=1)] for array in points] + cells
    return [array.tobytes() for array in arrays if array.size]


# Of forty models one figure: the others are for those who have more time.
CASES = [
    pytest.param(name, n, marks=() if n == 2 or (n == 40 and name == "match_rates") else pytest.mark.slow)
    for n, name in product(STUDIES, FIGURES["leak"])
]


@pytest.mark.parametrize(("name", "n_models"), CASES)
def test_every_page_is_one_of_a_paper_and_no_panel_is_empty_or_there_twice(name: str, n_models: int) -> None:
    drawing = drawn(name, n_models)
    sizes = [page.get_size_inches() for page in drawing.pages]
    assert max(height for _, height in sizes) <= PAGE_HEIGHT
    assert max(width for width, _ in sizes) <= 7.01
    assert drawing.short.get_figheight() <= MAX_HEIGHT
    shown = [content(ax) for page in drawing.pages for ax in panels(page)]
    assert all(shown)
    assert len(set(map(tuple, shown))) == len(shown)
    numbers = [f"Page {n} of {len(drawing.pages)}." for n, _ in enumerate(drawing.pages, start=1)]
    assert len(numbers) == 1 or all(
        number in page.get_supxlabel().replace("\n", " ") for number, page in zip(numbers, drawing.pages, strict=True)
    )


def test_pages_together_have_all_rows_and_the_first_leads() -> None:
    """Of 40 models in three categories with two values: pooled, and ``object``; ``person`` has none and is named."""
    drawing = drawn("match_rates", 40)
    titles = [ax.get_title(loc="left").splitlines()[-1] for page in drawing.pages for ax in panels(page)[:1]]
    assert titles == ["colors · all", "colors · object", "colors · food"]
    assert all("No values, so no panel: colors · person." in page.get_supxlabel() for page in drawing.pages)
    assert all(len(ax.get_yticks()) == 40 for page in drawing.pages for ax in panels(page))
    assert drawing.short.get_supxlabel().startswith("Shown: 1 of 3 categories, ")


def test_many_models_stand_by_value() -> None:
    rates = study_of(40).tables["match_rates"]
    first = rates[(rates["category"] == "all") & (rates["scorer"] == "sbert-minilm")].set_index("model")["match_rate"]
    labels = study_of(40).context.labels
    lanes = [label.get_text() for label in drawn("match_rates", 40).pages[0].axes[0].get_yticklabels()]
    assert lanes == [labels[model] for model in first.sort_values(ascending=False, kind="stable").index]
    few = [text.get_text() for text in drawn("match_rates", 2).pages[0].legends[0].get_texts()]
    assert few[:2] == list(study_of(2).context.labels.values())


def test_order_of_differences_counts_both_models_of_a_pair() -> None:
    models = [f"m{number:02d}" for number in range(13)]
    pairs = pd.DataFrame(combinations(models, 2), columns=["model_a", "model_b"])
    pairs["difference"] = [int(a[1:]) - int(b[1:]) for a, b in zip(pairs["model_a"], pairs["model_b"], strict=True)]
    order = Order("difference", (), "model_a", "model_b")
    labels = {model: model.upper() for model in models}
    assert list(by_value({"pairs": pairs}, order, labels)) == models[::-1]
    assert list(by_value({"pairs": pairs[pairs["model_b"] != "m12"]}, order, labels)) == models, "twelve are few"


def test_values_without_variation_are_hollow_and_explained() -> None:
    fig = drawn("match_rates", 2).pages[0]
    hollow = [line for ax in fig.axes for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert {line.get_gid() for line in hollow} == {"model:model-01:still"}
    assert "no variation between templates" in [text.get_text() for text in fig.legends[0].get_texts()]


def test_a_panel_without_values_is_named_instead_of_drawn() -> None:
    table = pd.DataFrame(product(["a", "b"], ["x", "y"]), columns=["set", "scorer"]).assign(
        rate=[1.0, None, None, None]
    )
    kept, note = with_values(table, ("set", "scorer"), "rate")
    assert kept[["set", "scorer"]].to_numpy().tolist() == [["a", "x"]]
    assert note == "No values, so no panel: a · y, b."
    assert with_values(table.iloc[1:], ("set", "scorer"), "rate")[1] == ""


def test_a_grid_with_a_hole_names_each_panel() -> None:
    grid = grid_of([("a", "", "x"), ("a", "", "y"), ("b", "", "y")])
    assert (grid.is_full, grid.title(2, 3.0)) == (False, "b · y")
    full = grid_of([("a", "", "x"), ("b", "", "x"), ("a", "", "y"), ("b", "", "y")])
    assert (full.columns, full.panels[1], full.title(3, 3.0)) == (2, ("a", "", "y"), "")


def test_the_only_category_of_a_prompt_set_is_not_shown_beside_the_pooled_one() -> None:
    table = pd.DataFrame({"prompt_set": list("aabbbc"), "category": ["all", "x", "all", "x", "y", "x"]})
    kept = without_repeated_category(table)
    assert list(zip(kept["prompt_set"], kept["category"], strict=True)) == [
        ("a", "all"), ("b", "all"), ("b", "x"), ("b", "y"), ("c", "x"),
    ]  # fmt: skip


def test_the_look_of_a_study_reaches_its_figures(tmp_path: Path) -> None:
    style = tmp_path / "own.mplstyle"
    style.write_text("axes.prop_cycle: cycler('color', ['112233', '445566'])\nfont.size: 30\n")
    tables, context = study_of(2)
    kind, rates = FIGURES["leak"]["match_rates"], {"match_rates": tables["match_rates"]}
    plain = drawn("match_rates", 2).pages[0]
    with looking(Looks(str(style), 3.0, 5.0, "DejaVu Serif", 9)):
        fig = arranged(kind, rates, context).pages[0]
    assert fig.get_figwidth() == 5
    assert 9 / 7 <= fig.get_figheight() / plain.get_figheight() < 1.5
    ax = fig.axes[0]
    assert {line.get_color() for line in ax.lines if (line.get_gid() or "").startswith("model")} == {
        "#112233",
        "#445566",
    }
    label = ax.get_yticklabels()[0]
    assert (label.get_fontsize(), label.get_fontfamily()[0]) == (9, "DejaVu Serif")
