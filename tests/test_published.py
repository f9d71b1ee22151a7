"""The tables of docs/published.md against the authors' data, cell by cell, and the numbers that its text leans on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve

pytestmark = pytest.mark.published

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/published.md"
SETTINGS = resolve(shipped(ROOT))
MODELS = {"qwen2.5-0.5b": "0.5B", "qwen2.5-3b": "3B"}


def table(header: str) -> list[list[str]]:
    """Return the body of the page's only table whose header begins so: rows of cells."""
    lines = PAGE.read_text(encoding="utf-8").split("\n")
    (start,) = [i for i, line in enumerate(lines) if line.startswith(f"| {header} |")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 :]]
    return rows[: next(i for i, row in enumerate(rows) if row == [""])]


def study(name: str) -> Any:
    return yaml.safe_load(os.path.expandvars((ROOT / f"studies/{name}.yaml").read_text(encoding="utf-8")))


def number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def spread(low: float, high: float, digits: int) -> str:
    return f"({number(low, digits)} to {number(high, digits)})"


def bare(text: str) -> str:
    """Return a number below 1 as the page writes it: .777."""
    return text.replace("0.", ".")


# Semantic leakage


@pytest.fixture(scope="module")
def leaked(published: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """The tables of `studies/published.yaml`, run once by Snakemake."""
    from workspace import Workspace

    names = ["match_rates", "leak_rates", "specific_leakage", "comparisons", "agreement"]
    workspace = Workspace(tmp_path_factory.mktemp("published"))
    content = yaml.safe_load((ROOT / "studies/published.yaml").read_text(encoding="utf-8"))
    workspace.run("--cores", "2", *(f"results/published/{name}.csv" for name in names), study=content)
    results = workspace.folder / "results/published"
    return {name: pd.read_csv(results / f"{name}.csv", dtype={"category": str}) for name in names}


SCORERS = {"sbert-minilm": "SentenceBERT", "static-wordllama": "static embeddings"}


def by_place(leaked: dict[str, pd.DataFrame], name: str) -> pd.DataFrame:
    return by_scorer(leaked, name, "sbert-minilm")


def by_scorer(leaked: dict[str, pd.DataFrame], name: str, scorer: str) -> pd.DataFrame:
    rows = leaked[name][leaked[name]["scorer"] == scorer]
    return rows.set_index(["model", "prompt_set", "category"]).sort_index()


PLACES = [*(("authors-colors", category) for category in ("1", "2", "3", "all")), ("authors-initial", "all")]


@pytest.mark.workflow
def test_the_match_rates_of_the_page_come_out(leaked: dict[str, pd.DataFrame]) -> None:
    found = []
    for scorer, encoder in SCORERS.items():
        rates = by_scorer(leaked, "match_rates", scorer)
        for model, name in MODELS.items():
            rows = [rates.loc[(model, *place)] for place in PLACES]
            cells = [f"{row['match_rate']:.2f} {spread(row['ci_low'], row['ci_high'], 1)}" for row in rows]
            found.append([f"{name}, {encoder}", *cells])
    assert table("model, encoder") == found
    # Values of another program.
    assert [float(row[4].split()[0]) for row in found] == [71.64, 83.66, 68.24, 81.66]
    counts = by_scorer(leaked, "match_rates", "sbert-minilm").loc[
        ("qwen2.5-3b", ["authors-colors", "authors-initial"], "all"), :
    ]
    assert counts[["n_units", "n_without_partner"]].to_numpy().tolist() == [[24, 3], [16, 15]]


@pytest.mark.workflow
def test_the_numbers_in_the_text_on_match_rates_come_out(leaked: dict[str, pd.DataFrame]) -> None:
    compared = leaked["comparisons"].query("measure == 'match_rate'").set_index(["prompt_set", "category", "scorer"])
    rows = compared[["difference", "ci_low", "ci_high"]].round(1)
    assert rows.loc[("authors-colors", "all", "sbert-minilm")].tolist() == [-12.0, -18.0, -6.0]
    assert rows.loc[("authors-colors", "all", "static-wordllama")].tolist() == [-13.4, -20.1, -6.6]
    assert [rows.loc[("authors-colors", "2", scorer), "difference"] for scorer in SCORERS] == [-19.0, -19.6]
    assert rows.loc[("authors-initial", "all", "sbert-minilm")].tolist() == [-8.0, -19.6, 3.7]
    assert rows.loc[("authors-initial", "all", "static-wordllama")].tolist() == [4.8, -11.3, 20.7]
    colors = compared.loc[("authors-colors", "all"), "p_value"]
    assert colors.round(4).tolist() == [0.0008, 0.0006]
    assert round(compared.loc[("authors-colors", "all", "sbert-minilm"), "p_corrected"], 4) == 0.0016
    assert compared.loc[("authors-colors", "3", "sbert-minilm"), "p_smallest"] == 0.25
    rates = by_place(leaked, "match_rates").xs("authors-colors", level="prompt_set")["match_rate_without_repetition"]
    assert [round(rates[model, category], 1) for category in ("all", "2") for model in MODELS] == [
        66.8,
        70.6,
        62.4,
        65.2,
    ]
    agreement = leaked["agreement"].set_index(["prompt_set", "category"]).loc[("authors-colors", "all")]
    assert (round(agreement["opposite_rate"], 1), round(agreement["correlation"], 2)) == (25.5, 0.83)


@pytest.mark.workflow
def test_the_leak_rates_of_the_page_come_out(leaked: dict[str, pd.DataFrame]) -> None:
    rates = by_place(leaked, "leak_rates")
    found = [[number(rates.loc[(model, *place), "leak_rate"], 2) for place in PLACES] for model in MODELS]
    assert [row[1:] for row in table("model | category 1")] == found
    assert rates.loc[("qwen2.5-0.5b", "authors-colors", "all"), ["n_prompts", "n_pairs"]].tolist() == [709, 3545]
    assert rates.loc[("qwen2.5-3b", "authors-initial", "all"), ["n_prompts", "n_pairs"]].tolist() == [109, 109]


@pytest.mark.workflow
def test_the_specific_leakage_of_the_page_comes_out(leaked: dict[str, pd.DataFrame]) -> None:
    rows = by_place(leaked, "specific_leakage")
    found = []
    for model in MODELS:
        for place in PLACES:
            row = rows.loc[(model, *place)]
            specific = f"{number(row['specific'], 1)} {spread(row['ci_low'], row['ci_high'], 1)}"
            found.append([number(row["swapped_rate"], 1), specific])
    assert [row[2:] for row in table("model | prompts")] == found


@pytest.mark.workflow
def test_table_2_is_the_mean_of_categories_1_and_2(leaked: dict[str, pd.DataFrame]) -> None:
    rates = by_place(leaked, "leak_rates")["leak_rate"]
    means = [rates[model, "authors-colors"][["1", "2"]].mean() for model in MODELS]
    assert [round(mean, 2) for mean in means] == [61.23, 80.33]
    assert [round(rates[model, "authors-colors", "all"], 2) for model in MODELS] == [61.88, 79.79]


@pytest.mark.workflow
def test_the_numbers_in_the_text_on_leakage_come_out(leaked: dict[str, pd.DataFrame]) -> None:
    small, large = (by_place(leaked, "leak_rates").loc[model, "authors-colors"] for model in MODELS)
    assert round(large.loc["2", "repetition_rate"], 1) == 49.7
    assert round(small.loc["2", "repetition_rate"], 1) == 14.7
    assert round(large.loc["2", "leak_rate_without_repetition"], 1) == 74.6
    assert round(small.loc["2", "leak_rate_without_repetition"], 1) == 47.8
    assert small.loc[["3", "2"], "tie_rate"].round().tolist() == [30, 22]
    swapped = by_place(leaked, "specific_leakage").loc[("qwen2.5-3b", "authors-colors", "2"), "swapped_rate"]
    assert [round(large.loc["2", "leak_rate"] - 50, 1), round(swapped - 50, 1)] == [36.9, 20.2]
    compared = leaked["comparisons"].query("measure == 'leak_rate' and scorer == 'sbert-minilm'")
    compared = compared.query("prompt_set == 'authors-colors'").set_index("category")
    assert round(compared.loc["2", "difference"]) == -35
    assert round(compared.loc["2", "p_value"], 3) == round(compared.loc["2", "p_smallest"], 3) == 0.002
    assert compared.loc["3", "p_smallest"] == 0.125


# Cross-Care


@pytest.fixture(scope="module")
def taus(published: Path) -> pd.DataFrame:
    """`kendall_tau.csv` of `studies/cross_care_published.yaml`, counts with models."""
    from leakscope.ground.agreement.joined import counts_of
    from leakscope.ground.agreement.kendall import Axis, kendall_table, taus_by_subject
    from leakscope.ground.imported import import_counts, import_scores
    from leakscope.ground.naming import axis_naming

    content = study("cross_care_published")
    settings = SETTINGS["ground"]
    tables = []
    for name, entry in content["ground"]["axes"].items():
        naming, window, used = axis_naming(entry), entry["counts"]["window"], content["ground"]["templates_used"]
        counted = import_counts({window: Path(entry["counts"]["path"])}, name, naming, {})
        scores = [
            import_scores(Path(model["path"][name]), known_as, name, "en", naming, used)
            for known_as, model in content["models"].items()
        ]
        axis = Axis(name, counts_of(counted, window, settings["unit"]), None, pd.concat(scores))
        by_subject = taus_by_subject(axis, settings["score"])
        tables.append(kendall_table(by_subject, settings["level"]))
    return pd.concat(tables).set_index(["axis", "model"])


def test_the_taus_of_the_page_come_out_with_their_intervals(taus: pd.DataFrame) -> None:
    rows = table("model, `american_context`")
    found = []
    for name in study("cross_care_published")["study"]["models"]:
        cells = [name]
        for axis in ("race", "gender"):
            row = taus.loc[axis, name]
            beyond = spread(row["beyond_ci_low"], row["beyond_ci_high"], 2)
            cells.append(f"{number(row['tau'], 4)} {spread(row['ci_low'], row['ci_high'], 2)}")
            cells.append(f"{number(row['tau_beyond_prior'], 2)} {beyond}")
        found.append(cells)
    assert rows == found
    assert set(taus["n_subjects"]) == {89}
    assert set(taus["n_undefined"]) == set(taus["n_lost"]) == {0}


def test_what_the_page_says_of_the_prior_holds_for_these_four_models(taus: pd.DataFrame) -> None:
    race, gender = taus.loc["race"], taus.loc["gender"]
    assert set(race["baseline_tau"].round(3)) == {0.937}
    assert set(gender["baseline_tau"].round(3)) == {0.768}
    assert round(race["tau"].max(), 3) == 0.694
    above = gender[gender["tau"] > gender["baseline_tau"] + 1e-9]
    assert above.index.tolist() == ["pythia-410m"]
    assert round(above["tau"].item(), 3) == 0.781
    assert (above["ci_low"] < above["baseline_tau"]).all()
    assert gender.loc["mamba-130m", "tau"] == pytest.approx(gender.loc["mamba-130m", "baseline_tau"])
    without = taus[(taus["beyond_ci_low"] > 0) | (taus["beyond_ci_high"] < 0)]
    assert without.index.tolist() == [("race", "mamba-130m")]
    assert without["beyond_ci_high"].item() < 0


# RankAlign


@pytest.fixture(scope="module")
def judged(published: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """`correlations.csv` and `accuracy.csv` of `studies/rankalign_published.yaml`, and the log-odds."""
    from leakscope.validate import gap
    from leakscope.validate.discrimination import COMPLETION_COLUMNS, RANK_COLUMNS, answer_accuracy
    from leakscope.validate.paired import read_named, read_pairs, read_parts
    from leakscope.validate.scoring.imported_scores import import_scores, imported_items, imported_table

    folder = tmp_path_factory.mktemp("judged")
    (model,) = study("rankalign_published")["models"].values()
    scores = import_scores(Path(model["path"]["hypernymy"]))
    imported_table(scores).to_parquet(folder / "s.parquet")
    imported_items(scores).to_parquet(folder / "i.parquet")
    pairs = read_pairs([str(folder / "s.parquet")], [["gemma", "t"]], [str(folder / "i.parquet")], {}, {})
    parts = read_parts([], [], pairs)
    level = SETTINGS["validate"]["level"]
    nothing = read_named([], [], RANK_COLUMNS), read_named([], [], COMPLETION_COLUMNS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gap, "STATISTICS", {"pearson": gap.pearson})  # the page has no other
        correlations = gap.correlations(pairs, parts, {}, level)
    return {
        "correlations": correlations.set_index("subset"),
        "accuracy": answer_accuracy(pairs, parts, *nothing, {}, level).set_index("statistic"),
        "scores": scores,
    }


def test_the_correlations_and_accuracies_of_the_page_come_out(judged: dict[str, pd.DataFrame]) -> None:
    names = {
        "correlation, all": ("correlations", "all"),
        "right pairs": ("correlations", "positive"),
        "wrong pairs": ("correlations", "negative"),
        "validator's accuracy": ("accuracy", "validator_accuracy"),
        "validator's AUC": ("accuracy", "validator_auc"),
        "generator's AUC": ("accuracy", "generator_auc"),
    }
    found = []
    for name, (kind, key) in names.items():
        row = judged[kind].loc[key]
        value = f"{number(row['value'], 3)} {spread(row['ci_low'], row['ci_high'], 3)}"
        found.append([name, f"{row['n']:,.0f}", bare(value)])
    assert table("| items") == found


def test_the_validator_affirms_fewer_of_the_right_pairs_than_it_denies_of_the_wrong(
    judged: dict[str, pd.DataFrame],
) -> None:
    scores = judged["scores"]
    right = scores["positive"].to_numpy()
    affirmed = np.asarray(scores["l_v"] > 0)
    assert round(100 * (~affirmed)[~right].mean(), 1) == 98.2
    assert round(100 * affirmed[right].mean(), 1) == 62.5
    assert scores["cluster"].nunique() == 1135
