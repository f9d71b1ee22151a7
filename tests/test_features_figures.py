"""Figures of features and their edits show what their tables hold, and say so where there is nothing to show."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leakscope.figures.drawing import Context, draw
from leakscope.figures.features.dictionaries import quality
from leakscope.figures.features.distributions import firing_density, polysemanticity, seed_agreement
from leakscope.figures.features.edit_effects import effects
from leakscope.figures.features.edited import edited, effects_by_item, truth
from leakscope.figures.registry import FIGURES

LONG = "a dictionary of a very long name, of the residual stream before the eighth block (public release)"
LABELS = {"b": "second, named first", "a.s0": "first, seed 0", "a.s1": "first, seed 1", "a": "first"}
FAMILIES = {"a.s0": "a", "a.s1": "a"}
BAR = {"variance_unexplained": 0.4, "dead_share": 0.6, "cross_entropy_recovered": 0.7}
QUALITY = pd.DataFrame(
    [("a.s0", 0.1, 16.0, 0.2, 0.95), ("b", 0.5, 12.0, np.nan, -4.0)],
    columns=["dictionary", "variance_unexplained", "l0", "dead_share", "cross_entropy_recovered"],
)


def features(n_features: int = 64, rate: float = -2.0) -> pd.DataFrame:
    """Return a feature table of which every fourth feature is dead, and whose scores by ``local`` are known."""
    rng = np.random.default_rng(0)
    dead = np.arange(n_features) % 4 == 0
    return pd.DataFrame(
        {
            "feature": np.arange(n_features),
            "dead": dead,
            "log10_rate": np.where(dead, -10.0, rate + rng.normal(0, 0.3, n_features)),
            "effective_tokens": np.where(dead, np.nan, 10.0),
            "detection_local": np.where(dead, np.nan, 0.8),
        }
    )


def effect(dictionary: str, intervention: str, gap: float, **given: object) -> dict[str, object]:
    """Return a row of ``effects.csv``, of the evaluation split; not chosen if not said otherwise."""
    row = {"dictionary": dictionary, "contrast": "gender", "split": "evaluation", "intervention": intervention,
           "mean_abs_gap": gap, "chosen": False, "reached": True, "seed": None,
           "ci_low": None, "ci_high": None}  # fmt: skip
    return row | given


def effect_rows(dictionary: str, shift: float = 0.0) -> list[dict[str, object]]:
    rows = [effect(dictionary, "none", 0.4)]
    for cost in (1.0, 3.0):
        at = {"target_cost": cost, "cost": cost - 0.1}
        left = 0.3 / cost + shift
        rows += [
            effect(dictionary, "features", left, chosen=True, low=left - 0.05, high=left + 0.06, **at),
            effect(dictionary, "features", 2.5, **at),
            effect(dictionary, "features", 0.01, **at, **{"split": "selection"}),
            effect(dictionary, "difference_in_means", left / 2, chosen=True, **at | {"reached": cost < 3}),
            *(effect(dictionary, "random_features", 0.4 + seed / 100, seed=seed, **at) for seed in (0, 1, 2)),
        ]
    return rows


EFFECTS = pd.DataFrame([*effect_rows("a.s0"), *effect_rows("a.s1", 0.02), *effect_rows("b")])
BY_ITEM = pd.DataFrame(
    [
        (dictionary, "gender", intervention, cost, item, "evaluation", association, share * association)
        for dictionary, shift in (("a.s0", 0.0), ("a.s1", 0.2), ("b", 0.1))
        for item, association in (("plumber", 0.9), ("nurse", -0.8), ("cook", 0.1))
        for intervention, cost, share in (
            ("none", None, 0.5),
            ("features", 1.0, 0.4),
            ("features", 3.0, 0.1 + shift),
            ("difference_in_means", 3.0, 0.3),
        )
    ],
    columns=["dictionary", "contrast", "intervention", "target_cost", "item", "split", "association", "gap"],
)
AGREEMENT = pd.DataFrame(
    [
        (a, b, feature, cosine)
        for a, b in (("a.s0", "a.s1"), ("b", "b.s1"))
        for feature, cosine in enumerate([0.9, -0.2])
    ],
    columns=["dictionary", "other", "feature", "cosine"],
)
TRUTH = pd.DataFrame(
    [
        (model, "gender", item, planted, planted * share)
        for model, share in (("a", 0.5), ("b", 1.0))
        for item, planted in (("plumber", 0.6), ("nurse", -0.7), ("cook", 0.1))
    ],
    columns=["model", "contrast", "item", "true_gap", "gap"],
)
EDITED = pd.DataFrame(
    [
        ("a", "base", "match_rate", "colors", 58.0, 57.0, 59.0, 54.0, 53.0, 55.0),
        ("b", "base", "match_rate", "colors", 58.0, 57.0, 59.0, 51.0, 50.0, np.nan),
        ("a", "base", "cost", np.nan, np.nan, np.nan, np.nan, 2.9, np.nan, np.nan),
    ],
    columns=["model", "base", "measure", "subset", *(f"{when}{end}" for when in ("before", "after")
             for end in ("", "_ci_low", "_ci_high"))],
)  # fmt: skip


def rendered(fig: Figure) -> Figure:
    """Return a figure that was drawn once, as it would be saved; what has no room in it is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig.savefig(io.BytesIO(), format="png", dpi=40)
    return fig


def drawn(ax: Axes, gid: str) -> list[tuple[float, float]]:
    """Return the points of the lines that are marked so."""
    lines = [line for line in ax.lines if line.get_gid() == gid]
    return [(float(x), float(y)) for line in lines for x, y in zip(*map(np.ravel, line.get_data()), strict=True)]


def faces(ax: Axes, gid: str) -> list[object]:
    return [line.get_markerfacecolor() for line in ax.lines if line.get_gid() == gid]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_text()]


def lanes(ax: Axes) -> list[str]:
    return [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]


def legend(fig: Figure) -> list[str]:
    return [text.get_text() for text in fig.legends[0].get_texts()]


def test_quality_stands_beside_the_bar_and_what_fails_it_is_marked() -> None:
    fig = rendered(quality(QUALITY, labels=LABELS, randomised=["b"], bar=BAR))
    unexplained, l0, dead, recovered = fig.axes
    assert lanes(unexplained) == ["second, named first", "first, seed 0"]
    assert drawn(unexplained, "variance_unexplained:b") == [(0.5, 0)]
    assert {x for x, _ in drawn(unexplained, "reference")} == {0.4}
    assert drawn(l0, "reference") == []
    assert [line.get_marker() for ax in fig.axes for line in ax.lines if str(line.get_gid()).endswith(":b")] == [
        "X", "o", "X",
    ]  # fmt: skip
    assert texts(dead) == ["n/a", "0.200"]
    assert texts(recovered) == ["−4.0", "0.950"]
    assert drawn(recovered, "cross_entropy_recovered:b")[0][0] == recovered.get_xlim()[0], "at the edge"
    assert "randomised model (control)" in legend(fig)


def test_dead_features_are_counted_and_not_drawn() -> None:
    tables = {"a.s0": features(), "b": features(rate=-3.0), "c": features().assign(dead=True)}
    fig = rendered(firing_density(tables, labels=LABELS, randomised=["b"]))
    (ax,) = fig.axes
    assert lanes(ax) == ["second, named first", "first, seed 0", "c"]
    assert texts(ax) == ["25 % dead", "25 % dead", "n/a", "100 % dead"]
    assert ax.get_xlim()[0] >= -5
    colors = [tuple(part.get_facecolor()[0][:3]) for part in ax.collections if str(part.get_gid()).startswith("lane:")]
    assert len(set(colors)) == 2, "the control is grey"


def test_each_explainer_has_a_panel_and_who_was_not_explained_a_gap() -> None:
    tables = {"a.s0": features().assign(detection_judge=0.7), "b": features().assign(detection_local=np.nan)}
    fig = rendered(polysemanticity(tables, labels=LABELS, randomised=[]))
    assert [ax.get_xlabel().replace("\n", " ") for ax in fig.axes] == [
        "effective tokens of a feature (logarithmic)",
        "detection score, explainer local",
        "detection score, explainer judge",
    ]  # fmt: skip
    assert [texts(ax) for ax in fig.axes] == [["10", "10"], ["n/a", "0.80", "chance"], ["n/a", "0.70", "chance"]]
    without = features().drop(columns="detection_local")
    assert len(rendered(polysemanticity({"a": without}, labels={}, randomised=[])).axes) == 1


def test_what_an_edit_leaves_stands_beside_the_baselines_at_the_same_cost() -> None:
    fig = rendered(effects(EFFECTS, labels=LABELS, families=FAMILIES))
    assert [ax.get_title(loc="left") for ax in fig.axes] == [
        "second, named first · gender\nat +1 % perplexity", "at +3 % perplexity",
        "first · gender · 2 seeds\nat +1 % perplexity", "at +3 % perplexity",
    ]  # fmt: skip
    low, high = fig.axes[2:]
    assert lanes(low) == ["features", "difference in means", "random features"]
    assert [drawn(low, f"features:a.s{seed}")[0][0] for seed in (0, 1)] == pytest.approx([0.3, 0.32])
    assert [drawn(high, f"features:a.s{seed}")[0][0] for seed in (0, 1)] == pytest.approx([0.1, 0.12])
    assert drawn(low, "features:b") == []
    assert {x for x, _ in drawn(low, "reference")} == {0.4}
    assert [x for x, _ in drawn(high, "difference")] == pytest.approx([0.055] * 2), "the mean of both seeds"
    assert texts(high) == ["0.110\n+2.9 %", "0.055\n+2.9 %", "0.410\n+2.9 %"]


def test_baselines_are_means_of_their_seeds_and_what_is_far_off_stands_at_the_edge() -> None:
    ax = rendered(effects(EFFECTS, labels=LABELS, families=FAMILIES)).axes[0]
    assert drawn(ax, "random_features:b")[0][0] == pytest.approx(0.41)
    assert [x for x, _ in drawn(ax, "pale:random_features")] == pytest.approx([0.4, 0.41, 0.42])
    end = ax.get_xlim()[1]
    assert [x for x, _ in drawn(ax, "pale:features")] == [end], "neither the chosen one nor that of another split"
    assert end < 1


def test_a_cost_that_was_not_reached_is_open() -> None:
    fig = rendered(effects(EFFECTS, labels=LABELS, families=FAMILIES))
    reached, missed = fig.axes[:2]
    assert faces(missed, "difference_in_means:b") == ["white"]
    assert faces(reached, "difference_in_means:b") != ["white"]
    assert "cost not reached" in legend(fig)
    assert "cost not reached" not in legend(effects(EFFECTS.assign(reached=True), labels=LABELS, families=FAMILIES))


def test_effects_survive_missing_values_and_one_cost() -> None:
    table = EFFECTS[(EFFECTS["intervention"] != "none") & (EFFECTS["target_cost"] == 3)]
    table = table.assign(cost=np.nan, low=np.nan, high=np.nan, chosen=table["intervention"] != "features")
    fig = rendered(effects(table, labels={"b": LONG}, families={}))
    assert len(fig.axes) == 3, "a row each without families"
    assert texts(fig.axes[0])[:2] == ["n/a", "0.050\ncost n/a"]
    assert "no edit" not in legend(fig)


def test_a_table_that_was_written_and_read_is_drawn_alike(tmp_path: Path) -> None:
    EFFECTS.to_csv(tmp_path / "effects.csv", index=False)
    context = Context(dictionaries=LABELS, families=FAMILIES)
    fig = rendered(draw("features", "effects", {"effects": tmp_path / "effects.csv"}, context).pages[0])
    direct = rendered(effects(EFFECTS, labels=LABELS, families=FAMILIES))
    for mine, other in zip(fig.axes, direct.axes, strict=True):
        assert texts(mine) == texts(other)
        assert faces(mine, "difference_in_means:b") == faces(other, "difference_in_means:b")


def test_items_are_sorted_by_association_at_the_highest_cost() -> None:
    fig = rendered(effects_by_item(BY_ITEM, labels=LABELS, families=FAMILIES))
    assert [ax.get_title(loc="left") for ax in fig.axes] == [
        "second, named first · gender\nfeatures", "difference in means",
        "first · gender · 2 seeds\nfeatures", "difference in means",
    ]  # fmt: skip
    assert lanes(fig.axes[0]) == ["nurse  −0.80", "cook  +0.10", "plumber  +0.90"]
    ax = fig.axes[2]
    before = sorted(drawn(ax, "before:a"), key=lambda point: point[1])
    np.testing.assert_allclose(before, [(-0.4, 0), (0.05, 1), (0.45, 2)])
    after = sorted(drawn(ax, "features:a"), key=lambda point: point[1])
    np.testing.assert_allclose(after, [(-0.16, 0), (0.02, 1), (0.18, 2)])
    assert len(drawn(ax, "seeds:features")) == 6
    assert drawn(fig.axes[0], "seeds:features") == []


def test_many_items_with_long_names_and_no_association_are_drawn() -> None:
    names = [f"someone who is called by very many words, number {number}" for number in range(40)]
    table = pd.concat([BY_ITEM.iloc[:4].assign(item=name, association=np.nan) for name in names])
    ax = rendered(effects_by_item(table, labels={}, families={})).axes[0]
    assert len(set(lanes(ax))) == 40
    assert max(map(len, lanes(ax))) <= 30


def test_seeds_agree_as_far_as_their_nearest_features() -> None:
    fig = rendered(seed_agreement(AGREEMENT, labels=LABELS, randomised=["b"]))
    (ax,) = fig.axes
    assert lanes(ax) == ["second, named first → b.s1", "first, seed 0 → first, seed 1"]
    assert texts(ax) == ["0.35", "0.35"]
    assert ax.get_xlim() == pytest.approx((-0.2, 1.0))


def test_planted_gaps_are_drawn_against_measured_ones() -> None:
    fig = rendered(truth(TRUTH, labels=LABELS))
    assert [ax.get_title(loc="left") for ax in fig.axes] == [
        "second, named first\nr = 1.00, n = 3", "first\nr = 1.00, n = 3",
    ]  # fmt: skip
    np.testing.assert_allclose(drawn(fig.axes[1], "items"), [(0.6, 0.3), (-0.7, -0.35), (0.1, 0.05)])
    assert rendered(truth(TRUTH.assign(gap=0.0), labels={})).axes[0].get_title(loc="left") == "a\nr = n/a, n = 3"


def test_edited_models_stand_beside_their_base() -> None:
    fig = rendered(edited(EDITED, labels=LABELS))
    rate, cost = fig.axes
    assert (rate.get_title(loc="left"), rate.get_xlabel(), cost.get_xlabel()) == (
        "colors", "match rate (%)", "rise in perplexity (%)",
    )  # fmt: skip
    assert lanes(rate) == ["second, named first", "first"]
    assert [sorted(drawn(rate, when)) for when in ("before", "after")] == [
        [(58, -0.16), (58, 0.84)], [(51, 0.16), (54, 1.16)],
    ]  # fmt: skip
    assert [x for x, _ in drawn(cost, "after")] == [2.9]
    assert texts(cost) == ["n/a"]


@pytest.mark.parametrize(
    "figure",
    [
        lambda: quality(QUALITY.iloc[:0], labels=LABELS, randomised=[], bar=BAR),
        lambda: firing_density({"a": features().assign(dead=True)}, labels=LABELS, randomised=[]),
        lambda: polysemanticity({}, labels=LABELS, randomised=[]),
        lambda: effects(EFFECTS[EFFECTS["intervention"] == "none"], labels=LABELS, families={}),
        lambda: effects_by_item(BY_ITEM.assign(split="selection"), labels=LABELS, families={}),
        lambda: seed_agreement(AGREEMENT.iloc[:0], labels=LABELS, randomised=[]),
        lambda: truth(TRUTH.assign(true_gap=np.nan), labels=LABELS),
        lambda: edited(EDITED.iloc[:0], labels=LABELS),
    ],
)
def test_a_figure_without_data_says_so(figure: Callable[[], Figure]) -> None:
    assert figure().texts[0].get_text().startswith("no data")


def test_every_figure_and_table_has_a_caption(root: Path) -> None:
    captions = {path.stem for path in (root / "report/features").glob("*.rst")}
    names = (
        "quality",
        "polysemanticity",
        "probing",
        "selected",
        "effects",
        "seed_agreement",
        "bias",
        "edited",
        "truth",
        "steering",
    )
    assert captions == set(FIGURES["features"]) | {f"{name}_table" for name in names} | {"index"}


def test_tables_of_dictionaries_are_named_by_them(tmp_path: Path) -> None:
    features().to_parquet(tmp_path / "features.parquet")
    tables = {f"dictionaries/{name}": tmp_path / "features.parquet" for name in ("a.s0", "b")}
    fig = rendered(draw("features", "firing_density", tables, Context(dictionaries=LABELS)).pages[0])
    assert lanes(fig.axes[0]) == ["second, named first", "first, seed 0"]


def test_figures_of_edited_models_call_models_by_their_labels(tmp_path: Path) -> None:
    EDITED.to_csv(tmp_path / "edited.csv", index=False)
    context = Context(labels={"a": "model a"}, dictionaries={"a": "dictionary a"})
    fig = draw("features", "edited", {"edited": tmp_path / "edited.csv"}, context).pages[0]
    assert lanes(fig.axes[0]) == ["model a", "b"]
