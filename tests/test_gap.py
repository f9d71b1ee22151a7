"""Correlations of generator and validator and their intervals, against scipy and by their properties."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from leakscope.errors import InputError
from leakscope.statistics import jackknife
from leakscope.statistics.jackknife import Deletions, leave_out
from leakscope.validate import gap
from leakscope.validate.form_agreement import form_agreement
from leakscope.validate.gap import STATISTICS, correlate, correlations
from leakscope.validate.paired import PAIRED_COLUMNS, main_form, read_pairs, read_parts
from leakscope.validate.scoring.imported_scores import imported_table
from leakscope.validate.tasks.form_names import IMPORTED_FORM, paired_forms
from leakscope.validate.tasks.forms import read_forms
from leakscope.validate.tasks.items import ITEM_COLUMNS

LEVEL = 0.95
SCIPY: dict[str, Callable[..., Any]] = {
    "pearson": stats.pearsonr,
    "spearman": stats.spearmanr,
    "kendall": stats.kendalltau,
}
FORMS = """
description: d
generators:
  - {id: g1, text: "{question} are", negated: "{question} are not"}
  - {id: g2, text: "All {question} are", negated: "No {question} are"}
validators:
  - {id: v1, text: "Are {question} {candidate}?"}
styles:
  - {id: plain, shots: 0, chat: false, template: "{prompt}"}
  - {id: shown, shots: 2, chat: false, template: "{prompt}"}
"""


def samples_written_out(deletions: Deletions) -> list[NDArray[np.bool_]]:
    """Return which items each sample has: all, then all but one cluster's."""
    n = len(deletions.codes[0])
    ways = zip(deletions.codes, deletions.sizes, strict=True)
    return [np.ones(n, dtype=bool), *(codes != i for codes, size in ways for i in range(size))]


@st.composite
def tied_samples(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int_]]:
    n = draw(st.integers(3, 14))
    columns = [draw(st.lists(st.integers(0, top), min_size=n, max_size=n)) for top in (5, 3, 4)]
    return np.array(columns[0], float) * 0.1, np.array(columns[1], float) - 7, np.array(columns[2])


# Correlations


@settings(max_examples=60, deadline=None)
@given(tied_samples(), st.sampled_from([1, 30, 10**6]))
def test_each_sample_has_the_correlation_of_its_items_written_out(
    sample: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int_]], cells: int
) -> None:
    x, y, clusters = sample
    deletions = leave_out(clusters, np.arange(len(x)) % 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jackknife, "CELLS", cells)
        found = {name: statistic(x, y, deletions) for name, statistic in STATISTICS.items()}
    for name, values in found.items():
        for value, kept in zip(values, samples_written_out(deletions), strict=True):
            a, b = x[kept], y[kept]
            constant = len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0
            expected = np.nan if constant else SCIPY[name](a, b).statistic
            assert value == pytest.approx(expected, abs=1e-9, nan_ok=True), name


def test_worked_by_hand() -> None:
    # Ranks 1, 2, 3, 4 and 1, 3, 2, 4: ρ = 1 − 6·2/60; five pairs agree, one does not: τ = 4/6.
    found = correlate([1, 2, 3, 4], [1, 3, 2, 4], leave_out(["a", "b", "c", "d"]), LEVEL)
    assert [found[name].value for name in ("pearson", "spearman", "kendall")] == pytest.approx([0.8, 0.8, 2 / 3])


def test_large_offsets_cost_no_digits() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40))
    deletions = leave_out(range(40))
    np.testing.assert_allclose(gap.pearson(x + 2**20, y - 2**20, deletions), gap.pearson(x, y, deletions), atol=1e-9)


@pytest.mark.parametrize(
    ("x", "y"), [([], []), ([1.0, 2.0], [3.0, 4.0]), ([0.1] * 5, [1, 2, 3, 4, 5]), ([1, 2, 3, 4, 5], [-0.7] * 5)]
)
def test_too_few_items_or_a_side_that_does_not_vary_have_no_correlation(x: list[float], y: list[float]) -> None:
    found = correlate(x, y, leave_out(range(len(x))), LEVEL)
    assert list(found) == list(STATISTICS)
    assert all(np.isnan(interval).all() for interval in found.values())


@pytest.mark.parametrize("y", [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0], [0, 1, 2, 3, 4, -9]])
def test_on_a_line_there_is_a_correlation_and_no_interval(y: list[float]) -> None:
    # All items, all but the last, which alone makes y vary, and all but the last, without which they lie on a line.
    found = correlate([1, 2, 3, 4, 5, 6], y, leave_out(range(6)), LEVEL)
    assert all(np.isfinite(interval.value) for interval in found.values())
    assert all(np.isnan(interval[1:]).all() for interval in found.values())


def test_copies_within_a_cluster_tell_nothing_new() -> None:
    rng = np.random.default_rng(5)
    x, y, clusters = rng.normal(size=30), rng.normal(size=30), np.arange(30) // 2
    once = correlate(x, y, leave_out(clusters), LEVEL)
    copied = correlate(np.repeat(x, 5), np.repeat(y, 5), leave_out(np.repeat(clusters, 5)), LEVEL)
    for name, interval in once.items():
        assert copied[name] == pytest.approx(interval, abs=1e-12)
        assert interval.low < interval.value < interval.high


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    x, y, rows = rng.normal(size=40), rng.normal(size=40), np.arange(40)
    clusters, candidates, turned = np.array([f"c{i % 9}" for i in rows]), rows % 5, rng.permutation(40)
    one = correlate(x, y, leave_out(clusters, candidates), LEVEL)
    other = correlate(x[turned], y[turned], leave_out(clusters[turned], candidates[turned]), LEVEL)
    for name, interval in one.items():
        assert other[name] == pytest.approx(interval, abs=1e-12)


def test_the_interval_is_as_wide_as_theory_says() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=1000)
    y = 0.6 * x + 0.8 * rng.normal(size=1000)
    found = correlate(x, y, leave_out(range(1000)), 0.95)["pearson"]
    half = np.tanh(np.arctanh(found.value) + np.array([-1, 1]) * stats.norm.ppf(0.975) / np.sqrt(997))
    assert (found.low, found.high) == pytest.approx(tuple(half), abs=0.01)


def test_what_candidates_share_widens_the_interval_and_what_one_question_has_does_not() -> None:
    rng = np.random.default_rng(8)
    shape, question, candidate = (30, 8), *(grid.ravel() for grid in np.indices((30, 8)))
    x, y = (rng.normal(size=shape[1]) + 0.5 * rng.normal(size=shape) for _ in range(2))
    ways = [leave_out(question), leave_out(question, candidate), leave_out(question, question * 8 + candidate)]
    widths = [np.subtract(*correlate(x.ravel(), y.ravel(), way, LEVEL)["pearson"][:0:-1]) for way in ways]
    assert widths[1] > 3 * widths[0]
    assert widths[2] == widths[0]


# Forms and tables


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Items, forms, splits and the scores of a model that was asked and of one that was not."""
    folder = tmp_path_factory.mktemp("gap")
    (folder / "forms.yaml").write_text(FORMS, encoding="utf-8")
    rng = np.random.default_rng(0)
    rows = [(f"{q}/{c}", q, c, c == "c0", q, "none") for q in ("A", "b", "c", "d", "e") for c in ("c0", "c1", "c2")]
    items = pd.DataFrame(rows, columns=ITEM_COLUMNS)
    items.to_parquet(folder / "items.parquet")
    scores = []
    for style in ("plain", "shown"):
        for kind, form in (("generator", "g1"), ("negated", "g1"), ("generator", "g2"), ("validator", "v1")):
            table = pd.DataFrame({"item_id": items["item_id"], "kind": kind, "form_id": form, "style": style})
            columns = ["logprob_yes", "logprob_no"] if kind == "validator" else ["log_odds_first"]
            values = {name: rng.normal(size=len(items)) - 3 for name in ("log_odds", *columns)}
            scores.append(table.assign(**values))
    pd.concat(scores)[::-1].to_parquet(folder / "scores.parquet")
    imported = items[:9].assign(l_g=range(9), l_v=[0, 2, 1, 3, 4, 6, 5, 7, 8])
    imported_table(imported).to_parquet(folder / "imported.parquet")
    imported[ITEM_COLUMNS].to_parquet(folder / "imported.items.parquet")
    splits = items.assign(split=["train"] * 9 + ["test"] * 5 + ["unused"])[["item_id", "split"]]
    splits.to_csv(folder / "task.random.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def pairs(folder: Path) -> pd.DataFrame:
    paths = [[str(folder / f"{name}.parquet") for name in names] for names in (
        ["scores", "imported"], ["items", "imported.items"])]  # fmt: skip
    forms = {"task": str(folder / "forms.yaml")}
    return read_pairs(paths[0], [["asked", "task"], ["brought", "task"]], paths[1], forms, {"task": None})


def test_forms_are_paired_in_order_and_filled_up_with_the_first(folder: Path) -> None:
    forms = read_forms(folder / "forms.yaml")
    names = [form.name for form in paired_forms(forms)]
    assert names == ["plain/g1/v1", "plain/g2/v1", "shown/g1/v1", "shown/g2/v1"]
    assert paired_forms(forms, ["shown", "plain"])[0] == ("shown/g1/v1", "shown", "g1", "v1")
    with pytest.raises(InputError, match="Did you mean 'plain'"):
        paired_forms(forms, ["plane"])


def test_pairs_have_the_scores_of_their_forms(folder: Path, pairs: pd.DataFrame) -> None:
    assert list(pairs) == PAIRED_COLUMNS
    assert pairs["form"].unique().tolist() == ["plain/g1/v1", "plain/g2/v1", "shown/g1/v1", "shown/g2/v1", "imported"]
    assert pairs.loc[pairs["question"] == "A", "cluster"].unique().tolist() == ["a"]
    scores = pd.read_parquet(folder / "scores.parquet").set_index(["style", "kind", "form_id", "item_id"])
    row = pairs[(pairs["form"] == "shown/g2/v1") & (pairs["item_id"] == "c/c1")].iloc[0]
    generator, validator = (scores.loc[("shown", *form, "c/c1")] for form in (("generator", "g2"), ("validator", "v1")))
    assert (row["l_g"], row["l_g_first"]) == (generator["log_odds"], generator["log_odds_first"])
    assert row["l_v"] == validator["log_odds"]
    assert row["p_yes_no"] == pytest.approx(np.exp(validator["logprob_yes"]) + np.exp(validator["logprob_no"]))
    brought = pairs[pairs["model"] == "brought"]
    assert brought["p_yes_no"].isna().all()
    assert main_form(pairs)["form"].value_counts().to_dict() == {"plain/g1/v1": 15, IMPORTED_FORM.name: 9}


def test_an_item_without_a_score_is_named(folder: Path, tmp_path: Path) -> None:
    scores = pd.read_parquet(folder / "scores.parquet")
    lacking = scores[(scores["item_id"] != "b/c1") | (scores["kind"] != "validator")]
    lacking.to_parquet(tmp_path / "scores.parquet")
    forms, items = {"task": str(folder / "forms.yaml")}, [str(folder / "items.parquet")]
    with pytest.raises(InputError, match=r"scores of m, task task: validator form 'v1': got no score for item 'b/c1'"):
        read_pairs([str(tmp_path / "scores.parquet")], [["m", "task"]], items, forms, {"task": ["plain"]})


def test_a_style_that_a_model_was_not_asked_in_is_left_out(folder: Path, tmp_path: Path) -> None:
    scores = pd.read_parquet(folder / "scores.parquet")
    scores[scores["style"] == "shown"].to_parquet(tmp_path / "scores.parquet")
    forms, items = {"task": str(folder / "forms.yaml")}, [str(folder / "items.parquet")]
    found = read_pairs([str(tmp_path / "scores.parquet")], [["m", "task"]], items, forms, {"task": None})
    assert found["form"].unique().tolist() == ["shown/g1/v1", "shown/g2/v1"]


def test_the_table_has_each_part_and_subset_of_it(folder: Path, pairs: pd.DataFrame) -> None:
    parts = read_parts([str(folder / "task.random.csv")], [["task", "random"]], pairs)
    table = correlations(pairs, parts, {}, LEVEL)
    assert list(table) == gap.COLUMNS
    asked, brought = (table[table["model"] == model] for model in ("asked", "brought"))
    assert asked["split"].unique().tolist() == ["all", "random-train", "random-test"]
    assert len(asked) == 3 * 4 * 3 * 3
    assert brought["split"].unique().tolist() == ["all"]
    keyed = asked.set_index(["split", "form", "subset", "statistic"])
    sizes = keyed["n"].xs("plain/g1/v1", level="form").xs("pearson", level="statistic").to_dict()
    assert sizes[("all", "all")] == 15
    assert sizes[("random-train", "positive")] == 3
    assert sizes[("random-test", "negative")] == 3
    rows = pairs[(pairs["form"] == "shown/g2/v1") & ~pairs["positive"]].iloc[:6]
    expected = stats.kendalltau(rows["l_g"], rows["l_v"]).statistic
    assert keyed.loc[("random-train", "shown/g2/v1", "negative", "kendall"), "value"] == pytest.approx(expected)
    pd.testing.assert_frame_equal(table, correlations(pairs, parts, {}, LEVEL))


def test_a_tuned_model_has_the_parts_of_its_own_split_alone(folder: Path, pairs: pd.DataFrame) -> None:
    files = [str(folder / "task.random.csv")] * 2
    parts = read_parts(files, [["task", "random"], ["task", "held_out"]], pairs)

    def splits(tuned_on: dict[str, list[str]]) -> list[str]:
        table = correlations(pairs, parts, tuned_on, LEVEL)
        found: list[str] = table.loc[table["model"] == "asked", "split"].unique().tolist()
        return found

    own, other = ["held_out-train", "held_out-test"], ["random-train", "random-test"]
    assert splits({"asked": ["task", "held_out"]}) == ["all", *own]
    assert splits({"asked": ["another", "held_out"]}) == ["all", *other, *own]


def test_no_split_and_no_scores_are_no_rows(pairs: pd.DataFrame) -> None:
    parts = read_parts([], [], pairs)
    assert set(correlations(pairs, parts, {}, LEVEL)["split"]) == {"all"}
    assert correlations(read_pairs([], [], [], {}, {}), parts, {}, LEVEL).empty


def test_prompt_forms_of_a_style_are_compared_with_each_other(folder: Path) -> None:
    paths = [str(folder / "scores.parquet"), str(folder / "imported.parquet")]
    table = form_agreement(paths, [["asked", "task"], ["brought", "task"]])
    asked, brought = (table[table["model"] == model] for model in ("asked", "brought"))
    assert asked.groupby("style").size().to_dict() == {"plain": 6, "shown": 6}
    assert brought[["kind_a", "kind_b", "n"]].to_numpy().tolist() == [["generator", "validator", 9]]
    expected = stats.pearsonr(range(9), [0, 2, 1, 3, 4, 6, 5, 7, 8]).statistic
    assert brought["pearson"].item() == pytest.approx(expected)
