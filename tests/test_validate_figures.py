"""Figures of generator and validator show what their tables hold, and say so where there is nothing to show."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from leakscope.errors import InputError
from leakscope.figures.drawing import Context, draw
from leakscope.figures.registry import FIGURES
from leakscope.figures.validate import layers
from leakscope.figures.validate.closing import closing
from leakscope.figures.validate.form_maps import form_agreement
from leakscope.figures.validate.gaps import correlations, log_odds_density, truth
from leakscope.figures.validate.layers import lens_heatmap, log_odds_by_layer, visible

LABELS = {"b": "second, named first", "a": "first"}


def paired(n_items: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    tables = []
    for model in ("a", "b"):
        positive = np.arange(n_items) % 2 == 0
        l_g = rng.normal(size=n_items) + 2 * positive - 4
        tables.append(
            pd.DataFrame({"model": model, "task": "kinds", "positive": positive, "l_g": l_g, "l_v": l_g + positive})
        )
    return pd.concat(tables, ignore_index=True)


CORRELATIONS = pd.DataFrame(
    [
        (model, task, split, form, subset, statistic, value, value - 0.1, value + 0.1)
        for model, task, value in (("a", "kinds", 0.5), ("b", "kinds", 0.6), ("b", "words", 0.7))
        for form, value in ((f"{task}/main", value), (f"{task}/other", value / 7))
        for split, value in (("random-test", value - 0.05), ("all", value))
        for statistic, value in (("kendall", value / 2), ("pearson", value))
        for subset, value in (("all", value), ("positive", value - 0.2), ("negative", value - 0.3))
    ],
    columns=["model", "task", "split", "form", "subset", "statistic", "value", "ci_low", "ci_high"],
)
LAYERS = pd.DataFrame(
    [
        (model, "kinds", layer, subset, layer - 5.0 + sign, sign * layer, 0.5)
        for model, n_layers in (("a", 3), ("b", 4))
        for layer in range(n_layers)
        for subset, sign in (("all", 0.0), ("positive", 1.0), ("negative", -1.0))
    ],
    columns=["model", "task", "layer", "subset", "l_g", "l_v", "pearson"],
)
PARTING = pd.DataFrame(
    [("a", "kinds", 1, 2, np.nan), ("b", "kinds", 2, 3, 3)],
    columns=["model", "task", "layer_generator", "layer_validator", "layer_parting"],
)
AGREEMENT = pd.DataFrame(
    [
        (model, "kinds", style, *a, *b, value)
        for model in ("a", "b")
        for style, sign in (("plain", 1), ("chat", -1))
        for a, b, value in (
            (("validator", "1"), ("generator", "1"), 0.4 * sign),
            (("negated", "1"), ("generator", "1"), 0.6 * sign),
            (("negated", "1"), ("validator", "1"), -0.2 * sign),
        )
    ],
    columns=["model", "task", "style", "kind_a", "form_a", "kind_b", "form_b", "pearson"],
)
TRUTH = pd.DataFrame(
    [
        (model, "kinds", form, subset, 0.3, gap, gap - 0.1, gap + 0.1)
        for model, gap in (("a", 0.35), ("b", 0.2), ("a.tuned", 0.1))
        for form, gap in (("main", gap), ("other", gap + 0.05))
        for subset, gap in (("positive", gap / 2), ("all", gap))
    ],
    columns=["model", "task", "form", "subset", "true_gap", "gap", "ci_low", "ci_high"],
)
CLOSING = pd.DataFrame(
    [
        (base, method, split, part, subset, closed, closed - 0.1, closed + 0.1, 0.8, 0.75, 0.2, 0.3, rise)
        for base, method, closed, rise in (("a", "ranking", 0.25, 3.0), ("a", "dpo", -0.5, 9.0), ("b", "dpo", 0.1, 1.0))
        for split, closed in (("random", closed), ("disjoint", closed / 2))
        for part, closed in (("train", 0.9), ("test", closed))
        for subset, closed in (("all", closed), ("positive", 0.8))
    ],
    columns=[
        "base", "method", "split", "part", "subset", "closed", "closed_ci_low", "closed_ci_high",
        "validator_accuracy_before", "validator_accuracy_after", "generator_accuracy_before",
        "generator_accuracy_after", "perplexity_rise",
    ],
)  # fmt: skip


def lens(n_layers: int, top: str = "bird") -> pd.DataFrame:
    """Return a table in which the last layer is surer than the others."""
    return pd.DataFrame(
        [
            (kind, layer, position, token, top, (layer + 1) / (2 * n_layers))
            for kind in ("generator", "validator")
            for layer in range(n_layers)
            for position, token in ((4, " kind"), (5, " of"))
        ],
        columns=["kind", "layer", "position", "token", "top", "probability"],
    )


def rendered(fig: Figure) -> Figure:
    """Return a figure that was drawn once, as it would be saved."""
    fig.savefig(io.BytesIO(), format="png", dpi=40)
    return fig


def titles(fig: Figure) -> list[str]:
    return [title for ax in fig.axes if (title := ax.get_title(loc="left"))]


def panel(fig: Figure, title: str) -> Axes:
    (ax,) = [ax for ax in fig.axes if ax.get_title(loc="left") == title]
    return ax


def drawn(ax: Axes, gid: str) -> list[tuple[float, float]]:
    """Return the points of the lines that are marked so."""
    lines = [line for line in ax.lines if line.get_gid() == gid]
    return [(float(x), float(y)) for line in lines for x, y in zip(*map(np.ravel, line.get_data()), strict=True)]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_every_item_is_a_point_and_the_panel_says_how_far_the_two_correlate() -> None:
    table = paired()
    fig = rendered(log_odds_density(table, labels=LABELS))
    assert titles(fig) == ["second, named first", "first"]
    ax, mine = panel(fig, "first"), table[table["model"] == "a"]
    np.testing.assert_allclose(drawn(ax, "points:positive"), mine.loc[mine["positive"], ["l_g", "l_v"]])
    assert texts(ax) == [f"r all {mine['l_g'].corr(mine['l_v']):.2f}", "r pos 1.00", "r neg 1.00"]


def test_a_far_item_stands_at_the_edge_and_an_endless_one_is_left_out() -> None:
    table = paired(1200)
    table.loc[[0, 2], "l_g"] = [-400.0, -np.inf]
    fig = rendered(log_odds_density(table, labels=LABELS))
    ax = panel(fig, "first")
    points = np.array(drawn(ax, "points:positive"))
    assert len(points) == 599
    assert points[:, 0].min() == ax.get_xlim()[0] > -20


def test_items_that_do_not_vary_have_no_correlation() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig = rendered(log_odds_density(paired().assign(l_v=1.0), labels=LABELS))
    assert texts(panel(fig, "first")) == ["r all n/a", "r pos n/a", "r neg n/a"]


def test_correlations_are_of_all_items_in_the_main_form() -> None:
    fig = rendered(correlations(CORRELATIONS, labels=LABELS))
    ax = panel(fig, "kinds")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["second, named first", "first"]
    for subset, value in (("all", 0.5), ("positive", 0.3), ("negative", 0.2)):
        assert [x for x, _ in drawn(ax, subset)] == pytest.approx([value, value + 0.1])
    assert [x for x, _ in drawn(panel(fig, "words"), "all")] == [0.7]
    assert texts(panel(fig, "words")) == ["n/a"]


def test_layers_show_both_log_odds_and_where_they_part() -> None:
    fig = rendered(log_odds_by_layer(LAYERS, PARTING, labels=LABELS))
    assert titles(fig) == ["second, named first", "first"]
    upper = panel(fig, "second, named first")
    assert drawn(upper, "l_g:positive") == [(0, -4), (1, -3), (2, -2), (3, -1)]
    assert drawn(upper, "l_v:negative") == [(0, 0), (1, -1), (2, -2), (3, -3)]
    assert {x for x, _ in drawn(upper, "parting")} == {3}
    assert [x for x, _ in drawn(upper, "layer_generator") + drawn(upper, "layer_validator")] == [2, 3]
    assert drawn(panel(fig, "first"), "parting") == []
    lower = [ax for ax in fig.axes if drawn(ax, "pearson:all")]
    assert [len(drawn(ax, "pearson:all")) for ax in lower] == [4, 3]


def test_the_last_layer_stands_on_top_and_few_of_many_are_written() -> None:
    few, many = (rendered(lens_heatmap(lens(n), title="m")) for n in (3, 40))
    assert titles(few) == ["m: generator prompt", "m: validator prompt"]
    (mesh,) = [child for child in few.axes[0].collections if isinstance(child, QuadMesh)]
    assert np.asarray(mesh.get_array())[:, 0].tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 6])
    assert [label.get_text() for label in few.axes[0].get_xticklabels()] == ["␣kind", "␣of"]
    assert texts(few.axes[0]) == ["bird"] * 6
    written = [text for text in texts(many.axes[0]) if text]
    layers = [int(label.get_text()) for label in many.axes[0].get_yticklabels()]
    assert len(written) == 2 * len(layers) <= 32
    assert layers == sorted(layers, reverse=True)
    assert layers[0] == 39


def test_tokens_are_shown_whatever_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "drawable", lambda: frozenset(range(0x4E00)))  # without CJK
    assert [visible(token, 9) for token in (" a\n", "\t", "中", "", "photosynthesis")] == [
        "␣a↵", "→", "\\u4e2d", "", "photosyn…",
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that the font lacks
        fig = rendered(lens_heatmap(lens(2, top="$_{中\x00"), title="m"))
    assert texts(fig.axes[0])[0] == "$_{\\u4e2d\\u0000"


def test_each_two_forms_agree_once() -> None:
    fig = rendered(form_agreement(AGREEMENT, labels=LABELS))
    ax = panel(fig, "second, named first")
    columns, rows = ([label.get_text() for label in labels] for labels in (ax.get_xticklabels(), ax.get_yticklabels()))
    assert (columns, rows) == (["G 1", "N 1"], ["N 1", "V 1"])
    (mesh,) = [child for child in ax.collections if isinstance(child, QuadMesh)]
    np.testing.assert_allclose(np.ma.filled(mesh.get_array(), np.nan), [[0.6, np.nan], [0.4, -0.2]])
    assert texts(ax) == [".60", ".40", "−.20"]


def test_gaps_stand_beside_the_true_one() -> None:
    fig = rendered(truth(TRUTH, labels=LABELS))
    ax = panel(fig, "kinds")
    assert {gid: drawn(ax, f"gap:{gid}")[0][1] for gid in ("a", "b", "a.tuned")} == {
        "a": 0.35,
        "b": 0.2,
        "a.tuned": 0.1,
    }
    places = [drawn(ax, f"gap:{gid}")[0][0] for gid in ("b", "a", "a.tuned")]
    assert places == sorted(set(places))
    assert np.mean(places) == pytest.approx(0.3)
    legend = ax.get_legend()
    assert legend is not None
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["second, named first", "first", "a.tuned", "measured = true"]


def test_all_methods_are_shown_with_what_they_cost() -> None:
    fig = rendered(closing(CLOSING, labels=LABELS))
    assert titles(fig) == ["second, named first", "first"]
    share, accuracy, perplexity = fig.axes[3:6]
    assert [label.get_text() for label in share.get_yticklabels()] == ["ranking", "dpo"]
    assert [x for x, _ in drawn(share, "closed:random")] == [25, -50]
    assert [x for x, _ in drawn(share, "closed:disjoint")] == [12.5, -25]
    assert [x for x, _ in drawn(accuracy, "validator:random")] == pytest.approx([-5, -5])
    assert [x for x, _ in drawn(accuracy, "generator:random")] == pytest.approx([10, 10])
    assert [x for x, _ in drawn(perplexity, "rise:random")] == [3, 9]
    assert [texts(ax) for ax in fig.axes[:3]] == [["n/a"]] * 3, "b was not tuned by ranking"
    assert perplexity.get_xscale() == "linear"
    steep = rendered(closing(CLOSING.assign(perplexity_rise=5000.0), labels=LABELS))
    assert steep.axes[2].get_xscale() == "symlog"
    assert steep.axes[5].get_xlabel().endswith("logarithmic beyond 10")


def test_many_organisms_have_lanes_in_which_both_gaps_stand() -> None:
    table = pd.concat([TRUTH[TRUTH["model"] == "a"].assign(model=f"m{number}") for number in range(9)])
    flat = table["model"] == "m0"
    table = table.assign(
        ci_low=table["ci_low"].mask(flat, table["gap"]), ci_high=table["ci_high"].mask(flat, table["gap"])
    )
    fig = rendered(truth(table, labels={}))
    ax = panel(fig, "kinds")
    assert [label.get_text() for label in ax.get_yticklabels()] == [f"m{number}" for number in range(9)]
    assert sorted(drawn(ax, "gap"), key=lambda point: point[1]) == [(0.35, number) for number in range(9)]
    assert drawn(ax, "true") == [(0.3, number) for number in range(9)]
    (hollow,) = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert hollow.get_ydata().tolist() == [0]
    assert "no variation between items" in [text.get_text() for text in fig.legends[0].get_texts()]


@pytest.mark.parametrize(
    "figure",
    [
        lambda: log_odds_density(paired().assign(l_g=np.nan), labels=LABELS),
        lambda: correlations(CORRELATIONS.assign(value=np.nan), labels=LABELS),
        lambda: log_odds_by_layer(LAYERS.iloc[:0], PARTING, labels=LABELS),
        lambda: lens_heatmap(lens(2).iloc[:0], title="m"),
        lambda: form_agreement(AGREEMENT.iloc[:0], labels=LABELS),
        lambda: truth(TRUTH.iloc[:0], labels=LABELS),
        lambda: closing(CLOSING[CLOSING["part"] == "train"], labels=LABELS),
    ],
)
def test_a_figure_without_data_says_so(figure: Callable[[], Figure]) -> None:
    assert figure().texts[0].get_text().startswith("no data")


def test_every_figure_and_table_has_a_caption(root: Path) -> None:
    captions = {path.stem for path in (root / "report/validate").glob("*.rst")}
    tables = {f"{table}_table" for table in ("correlations", "accuracy", "closing", "truth")}
    assert captions == set(FIGURES["validate"]) | tables


def test_tuned_models_are_drawn_after_their_base(tmp_path: Path) -> None:
    table = pd.concat([CORRELATIONS, CORRELATIONS.replace({"model": {"b": "c.tuned", "a": "b.tuned"}})])
    table.to_csv(tmp_path / "correlations.csv", index=False)
    labels = {model: model for model in ("b", "a", "c.tuned", "b.tuned")}
    bases = {"c.tuned": "c", "b.tuned": "b"}
    context = Context(labels, bases=bases)
    fig = rendered(draw("validate", "correlations", {"correlations": tmp_path / "correlations.csv"}, context).pages[0])
    names = [label.get_text() for label in panel(fig, "kinds").get_yticklabels()]
    assert names == ["b", "b.tuned", "a", "c.tuned"]


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("log_odds_density", {"paired": paired()}),
        ("log_odds_by_layer", {"layers": LAYERS, "parting": PARTING}),
        ("form_agreement", {"form_agreement": AGREEMENT}),
    ],
)
def test_no_panel_is_of_a_tuned_model(name: str, tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    for table, rows in tables.items():
        rows.to_parquet(tmp_path / f"{table}.parquet")
    files = {table: tmp_path / f"{table}.parquet" for table in tables}
    assert titles(draw("validate", name, files, Context(LABELS)).pages[0]) == ["second, named first", "first"]
    assert titles(draw("validate", name, files, Context(LABELS, bases={"b": "a"})).pages[0]) == ["first"]


def test_a_lens_is_named_by_its_model(tmp_path: Path) -> None:
    lens(2).to_parquet(tmp_path / "kinds.parquet")
    tables = {"lens/a/kinds": tmp_path / "kinds.parquet"}
    fig = draw("validate", "lens_heatmap/a/kinds", tables, Context(LABELS)).pages[0]
    assert titles(fig) == ["first: generator prompt", "first: validator prompt"]


def test_a_figure_that_no_step_has_is_named_beside_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"figure of validate.*densities.*log_odds_density"):
        draw("validate", "densities", {}, Context())
    with pytest.raises(InputError, match=r"step: got 'valid'.*Did you mean 'validate'"):
        draw("valid", "truth", {}, Context())
