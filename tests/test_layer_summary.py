"""Generator and validator layer by layer: the summary of each, and where the two part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leakscope.validate.layer_summary import LAYER_COLUMNS, PARTING_COLUMNS, first_lasting, layer_summary, parting


@pytest.mark.parametrize(
    ("holds", "first"),
    [([True, True, True], 0), ([True, False, True, True], 2), ([False, True], 1), ([True, False], None), ([], None)],
)
def test_what_lasts_begins_after_the_last_failure(holds: list[bool], first: int | None) -> None:
    assert first_lasting(range(len(holds)), holds) == first


def summary_of(generator: list[float], validator: list[float], pearson: list[float]) -> pd.DataFrame:
    columns = {"generator_auc": generator, "validator_auc": validator, "pearson": pearson}
    table = pd.DataFrame({"model": "m", "task": "t", "layer": range(len(pearson)), "subset": "all", **columns})
    return pd.concat([table.assign(subset="positive", pearson=0.0), table])


def test_layers_that_are_ready_and_where_they_part() -> None:
    table = parting(summary_of([0.5, 0.86, 0.6, 0.88, 0.9], [0.5, 0.5, 0.96, 0.97, 1.0], [np.nan, 0.2, 0.8, 0.7, 0.74]))
    assert list(table) == PARTING_COLUMNS
    assert table.iloc[0].tolist() == ["m", "t", 3, 2, 3]


def test_what_never_parts_has_no_layer() -> None:
    table = parting(summary_of([0.5, 0.9], [0.5, 0.9], [0.9, 0.86]))
    assert table["layer_parting"].isna().all()
    assert table["layer_generator"].tolist() == [1]
    nothing = parting(summary_of([np.nan, np.nan], [0.5, 0.9], [np.nan, np.nan]))
    assert nothing[["layer_generator", "layer_parting"]].isna().all(axis=None)


def test_each_layer_is_summed_up_by_subset(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"i{i}" for i in range(8)]
    positive = np.arange(8) < 3
    pd.DataFrame({"item_id": names, "positive": positive}).to_parquet(tmp_path / "items.parquet")
    l_g, l_v = rng.normal(size=(2, 8)), np.stack([np.full(8, -0.3), positive + 0.0])
    layers = pd.DataFrame({"item_id": names * 2, "layer": [0] * 8 + [1] * 8, "l_g_first": l_g.ravel(),
                           "l_v": l_v.ravel()})  # fmt: skip
    layers.sample(frac=1, random_state=0).to_parquet(tmp_path / "layers.parquet")
    paths = [str(tmp_path / "layers.parquet")], [["m", "t"]], [str(tmp_path / "items.parquet")]
    table = layer_summary(*paths)
    assert list(table) == LAYER_COLUMNS
    assert list(zip(table["layer"], table["subset"], table["n"], strict=True)) == [
        (layer, subset, n) for layer in (0, 1) for subset, n in (("all", 8), ("positive", 3), ("negative", 5))
    ]
    found = table.set_index(["layer", "subset"])
    # A validator that says the same of every item follows nothing, and tells nothing apart.
    assert np.isnan(found.loc[(0, "all"), "pearson"])
    assert found.loc[(0, "all"), "validator_auc"] == 0.5
    last = found.loc[(1, "all")]
    assert last["pearson"] == pytest.approx(stats.pearsonr(l_g[1], l_v[1]).statistic)
    assert last["validator_auc"] == 1
    assert last["generator_auc"] == pytest.approx(stats.mannwhitneyu(l_g[1, :3], l_g[1, 3:]).statistic / 15)
    assert found.loc[(1, "negative"), "l_g"] == pytest.approx(l_g[1, 3:].mean())
    assert found.loc[(1, "positive"), ["generator_auc", "validator_auc"]].isna().all()
