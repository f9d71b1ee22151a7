"""Figures of rankings show what their tables hold, and say so where there is nothing to show."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leakscope.figures.drawing import Context, draw
from leakscope.figures.ground.agreement import (
    kendall_tau,
    prevalence_gaps,
    tau_by_language,
    tau_by_size,
    window_agreement,
)
from leakscope.figures.ground.rankings import aligned_pairs, first_places, logprob_differences, template_spread
from leakscope.figures.registry import FIGURES

LABELS = {"b": "second, named first", "a": "first"}
KENDALL = pd.DataFrame(
    [
        ("a", "race", "counts-model", "en", 0.6, 0.5, 0.7, 0.9, 0.1, 0.0, 0.2, 0.98),
        ("b", "race", "counts-model", "en", 0.7, 0.6, 0.8, 0.9, 0.2, 0.1, 0.3, 0.98),
        ("a", "race", "counts-model", "zh", 0.5, 0.4, 0.6, 0.9, 0.1, 0.0, 0.2, 0.98),
        ("b", "race", "counts-model", "zh", 0.4, 0.3, 0.5, 0.9, 0.2, 0.1, 0.3, 0.98),
        ("a", "race", "model-prevalence", "en", 0.3, 0.1, 0.5, 0.2, 0.1, np.nan, np.nan, np.nan),
        (np.nan, "race", "counts-prevalence", np.nan, -0.3, -0.5, -0.1, 0.2, 0.1, 0.0, 0.2, np.nan),
        ("a", "gender", "counts-model", "en", 0.8, 0.7, 0.9, 0.9, 0.1, 0.0, 0.2, 0.98),
    ],
    columns=[
        "model", "axis", "comparison", "language", "tau", "ci_low", "ci_high", "baseline_tau", "tau_beyond_prior",
        "beyond_ci_low", "beyond_ci_high", "ceiling_tau",
    ],
)  # fmt: skip
PLACES = pd.DataFrame(
    [
        (model, "race", "en", template, group, share, 1 - share)
        for model, shares in (("a", (0.75, 0.25)), ("b", (0.25, 0.75)))
        for template in ("all", "0")
        for group, share in zip(("black", "white"), shares, strict=True)
    ],
    columns=["model", "axis", "language", "template_id", "group", "share_first", "share_last"],
)


def titles(fig: Figure) -> list[str]:
    return [ax.get_title(loc="left") for ax in fig.axes if ax.axison]


def lanes(fig: Figure, title: str) -> list[str]:
    (ax,) = [ax for ax in fig.axes if ax.get_title(loc="left") == title]
    return [label.get_text() for label in ax.get_yticklabels()]


def legend(fig: Figure) -> list[str]:
    return [text.get_text() for text in fig.legends[0].get_texts()]


def drawn(ax: Axes, gid: str) -> list[tuple[float, float]]:
    """Return the middles of lanes in which there are points that are marked so, and where."""
    lines = [line for line in ax.lines if line.get_gid() == gid]
    return [(float(x), round(float(y))) for line in lines for x, y in zip(*map(np.ravel, line.get_data()), strict=True)]


def rendered(fig: Figure) -> Figure:
    """Return a figure that was drawn once, as it would be saved."""
    fig.savefig(io.BytesIO(), format="png", dpi=40)
    return fig


def test_taus_stand_in_lanes_of_models_in_the_order_of_the_study() -> None:
    fig = rendered(kendall_tau(KENDALL, labels=LABELS))
    assert titles(fig) == ["race: model ↔ counts", "race: model, counts ↔ prevalence", "gender: model ↔ counts"]
    assert lanes(fig, "race: model ↔ counts") == [
        "counts", "second, named first (en)", "second, named first (zh)", "first (en)", "first (zh)",
    ]  # fmt: skip
    assert drawn(fig.axes[0], "tau") == [(0.7, 1), (0.4, 2), (0.6, 3), (0.5, 4)]
    assert drawn(fig.axes[1], "tau") == [(-0.3, 0), (0.3, 3)]


def test_a_tau_without_variation_is_hollow_and_the_legend_says_so() -> None:
    table = KENDALL.assign(ci_low=np.where(KENDALL["language"] == "zh", KENDALL["tau"], KENDALL["ci_low"]))
    table["ci_high"] = np.where(KENDALL["language"] == "zh", KENDALL["tau"], KENDALL["ci_high"])
    for fig in (kendall_tau(table, labels=LABELS), tau_by_language(table, labels=LABELS)):
        (hollow,) = [line for line in fig.axes[0].lines if line.get_markerfacecolor() == "white"
                     and line.get_marker() != "D"]  # fmt: skip
        assert sorted(np.ravel(hollow.get_xdata()).tolist()) == [0.4, 0.5]
        assert "no variation between subjects" in legend(fig)
    assert "no variation between subjects" not in legend(kendall_tau(KENDALL, labels=LABELS))


def test_first_places_are_those_of_the_mean_over_templates() -> None:
    fig = rendered(first_places(PLACES, labels=LABELS))
    assert titles(fig) == ["race: first", "race: last"]
    ends = {str(part.get_gid()): [path.get_extents().intervalx.tolist() for path in part.get_paths()]
            for part in fig.axes[0].collections}  # fmt: skip
    assert ends == {"black": [[0, 25], [0, 75]], "white": [[25, 100], [75, 100]]}


def test_a_pair_of_models_shows_the_change_of_every_group() -> None:
    pairs = pd.DataFrame(
        [("a", "b", "race", "en", 0.1, 0.0, 0.2)],
        columns=["base", "aligned", "axis", "language", "tau", "ci_low", "ci_high"],
    )
    fig = rendered(aligned_pairs(pairs, PLACES, labels=LABELS))
    assert lanes(fig, "race: τ-b of base with aligned") == ["first →\nsecond, named first"]
    changes = {float(np.ravel(line.get_xdata())[0]) for line in fig.axes[1].lines}
    assert {-50.0, 50.0} <= changes


def test_sizes_are_known_or_left_out() -> None:
    table = KENDALL[KENDALL["comparison"] == "counts-model"].assign(quartile="Q1")
    sizes = pd.DataFrame({"model": ["a"], "n_parameters": [1e6]})
    fig = rendered(tau_by_size(table, sizes))
    assert titles(fig) == ["race", "gender"]
    assert tau_by_size(table, sizes.assign(n_parameters=np.nan)).texts[0].get_text().startswith("no data")


@pytest.mark.parametrize(
    "figure",
    [
        lambda: kendall_tau(KENDALL.assign(tau=np.nan), labels=LABELS),
        lambda: first_places(PLACES.iloc[:0], labels=LABELS),
        lambda: logprob_differences(pd.DataFrame(columns=["axis", "group"]), labels=LABELS),
        lambda: template_spread(pd.DataFrame({"rank_sd": [np.nan]}), labels=LABELS),
        lambda: window_agreement(pd.DataFrame(columns=["window"])),
        lambda: prevalence_gaps(pd.DataFrame()),
        lambda: tau_by_language(KENDALL.iloc[:0], labels=LABELS),
        lambda: aligned_pairs(pd.DataFrame(), PLACES, labels=LABELS),
    ],
)
def test_a_figure_without_data_says_so(figure: Callable[[], Figure]) -> None:
    assert figure().texts[0].get_text().startswith("no data")


def test_every_figure_has_a_caption(root: Path) -> None:
    captions = {path.stem for path in (root / "report/ground").glob("*.rst")}
    assert set(FIGURES["ground"]) <= captions


def test_figures_are_drawn_from_files(tmp_path: Path) -> None:
    KENDALL.to_csv(tmp_path / "kendall_tau.csv", index=False)
    tables = {"kendall_tau": tmp_path / "kendall_tau.csv"}
    fig = rendered(draw("ground", "tau_by_language", tables, Context(LABELS)).pages[0])
    assert lanes(fig, "race") == ["second, named first", "first"]
    assert legend(fig) == ["en", "zh"]
