"""What a study can see: how clusters differ, from results or as assumed, and what so many of them find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leakscope.leak.measures.leak_rate import KEYS
from leakscope.leak.measures.matching import VALUES
from leakscope.leak.measures.planning import COLUMNS, Settings, in_words, plan
from leakscope.leak.measures.spread import (
    CELL,
    LEAK_RATE,
    MATCH_RATE,
    SPREAD,
    Assumed,
    assumed,
    expected_spread,
    samples_of,
    spread_of_leaks,
    spread_of_matches,
)
from leakscope.statistics.power import attained_level, clusters_needed, detectable
from workspace import Workspace

SETTINGS = Settings(power=0.8, wish=55, level=0.05, permutations=2**16)
ASSUMED = {MATCH_RATE: Assumed(10, 12, 0.2), LEAK_RATE: Assumed(15, 9, 0.2)}


def prompts_of(n_templates: int, concepts: str = "ab") -> pd.DataFrame:
    rows: list[tuple[str, str | None, str | None, str, str]] = []
    for t in range(n_templates):
        rows += [(f"{t}{c}", f"{t}-", c, f"t{t}", f"{c}: {t}") for c in concepts]
        rows.append((f"{t}-", None, None, f"t{t}", f"{t}"))
    table = pd.DataFrame(rows, columns=["prompt_id", "control_id", "concept", "template_id", "prompt"])
    return table.assign(prompt_set="set", category=None, neutral_control_id=None, concept_group=table["concept"])


def results(matches: dict[str, list[list[list[float]]]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return units and texts: model → template → concept → how often each text is told."""
    units, texts = [], []
    for model, templates in matches.items():
        for t, concepts in enumerate(templates):
            for c, told in zip("abc", concepts, strict=False):
                key = {"model": model, "prompt_set": "set", "scorer": "s", "category": None}
                values = dict.fromkeys(VALUES, 0.0) | {"match": float(np.mean(told))}
                groups = {"concept_group": c, "concept": c, "n_groups": len(concepts)}
                units.append({**key, "unit": f"{t}", "cluster": f"t{t}", **groups, **values})
                texts += [
                    {**key, "prompt_id": f"{t}{c}", "sample": sample, "match": match, "weight": 1 / len(told)}
                    for sample, match in enumerate(told)
                ]
    frames = (pd.DataFrame(rows).astype({"category": "str"}) for rows in (units, texts))
    first, second = frames
    return first, second.drop(columns="category")


def spread_by_hand(matches: dict[str, list[list[list[float]]]]) -> dict[str, float]:
    (row,) = spread_of_matches(*results(matches), prompts_of(2)).to_dict("records")
    assert [row[name] for name in CELL] == [MATCH_RATE, "set", "s", "all"]
    return {name: row[name] for name in SPREAD}


ONE = [[[0.8, 1.0], [0.9, 0.9]], [[0.5, 0.5], [0.5, 0.5]]]


def test_the_variance_of_matches_is_split_between_templates_and_texts() -> None:
    # Rates .9 and .5: V = 2 · .1² / .5 = .04, G V = .08. Texts of one prompt have variance .02: of the pooled rate
    # 4 · .02 / 2 / 16 = .0025 with two texts, .005 with one.
    found = spread_by_hand({"one": ONE})
    assert found["template_sd"] == pytest.approx(100 * np.sqrt(2 * (0.04 - 0.0025)))
    assert found["text_sd"] == pytest.approx(100 * np.sqrt(2 * 0.005))
    assert np.isnan(found["template_sd_difference"])
    assert np.isnan(found["text_sd_difference"])


def test_variances_are_means_over_models_and_over_pairs_of_them() -> None:
    # The second model: .7 and .5, V = .01; texts as those of the first. Differences .2 and 0: V = .01, texts equal.
    same = [[[0.6, 0.8], [0.7, 0.7]], [[0.5, 0.5], [0.5, 0.5]]]
    found = spread_by_hand({"one": ONE, "two": same})
    assert found["template_sd"] == pytest.approx(100 * np.sqrt((0.075 + 2 * (0.01 - 0.0025)) / 2))
    assert found["text_sd"] == pytest.approx(10)
    assert found["template_sd_difference"] == pytest.approx(100 * np.sqrt(2 * 0.01))
    assert found["text_sd_difference"] == pytest.approx(0, abs=1e-9)


def test_samples_of_two_models_that_do_not_go_together_leave_more_variance() -> None:
    # h differs by .2 · (−1, 1): variance .08, so 4 · .08 / 16 with one text.
    other = [[[0.8, 0.6], [0.7, 0.7]], [[0.5, 0.5], [0.5, 0.5]]]
    found = spread_by_hand({"one": ONE, "two": other})
    assert found["text_sd_difference"] == pytest.approx(100 * np.sqrt(2 * 0.02))
    assert found["template_sd_difference"] == pytest.approx(100 * np.sqrt(2 * (0.01 - 0.01)), abs=1e-6)


def test_one_text_a_prompt_cannot_be_split() -> None:
    found = spread_by_hand({"one": [[[0.9], [0.9]], [[0.5], [0.5]]]})
    assert found["template_sd"] == pytest.approx(100 * np.sqrt(0.08))
    assert np.isnan(found["text_sd"])


def test_texts_of_prompts_that_are_gone_do_not_count() -> None:
    units, texts = results({"one": ONE})
    (row,) = spread_of_matches(units, texts, prompts_of(1)).to_dict("records")
    assert row["text_sd"] == pytest.approx(100 * np.sqrt(2 * 4 * 0.02 / 4))  # N is that of one template
    (row,) = spread_of_matches(units, texts, prompts_of(0)).to_dict("records")
    assert row["template_sd"] == pytest.approx(100 * np.sqrt(0.08))
    assert np.isnan(row["text_sd"])


def test_what_a_pair_of_texts_has_to_itself_counts_once() -> None:
    """Of three concepts with two texts each: four partners, so s² = ζ + (whole − 2 ζ) / 4."""
    # s² is .18 and whole .24, so ζ = (.18 − .06) / .5 > .18: none is a pair's own. s² = .02: ζ is 0, and half of it is.
    for told, variance in (([0.3, 0.9], 0.18), ([0.5, 0.7], 0.01)):
        templates = [[told, [0.5] * 2, [0.5] * 2], [[0.5] * 2] * 3]
        (row,) = spread_of_matches(*results({"one": templates}), prompts_of(2, "abc")).to_dict("records")
        assert row["text_sd"] == pytest.approx(100 * np.sqrt(2 * 4 * variance / 36))


def pairs_of(outcomes: dict[str, list[list[float]]]) -> pd.DataFrame:
    """Return pairs: model → template → outcome of each sample, of two prompts alike."""
    rows = [
        dict(zip(KEYS, (model, "set", "s", None), strict=True))
        | {"cluster": f"t{t}", "prompt_id": f"{t}{c}", "sample": k, "outcome": outcome, "control_kind": kind}
        for model, templates in outcomes.items()
        for t, samples in enumerate(templates)
        for c in "ab"
        for k, outcome in enumerate(samples)
        for kind in ("without", "neutral")
    ]
    return pd.DataFrame(rows).astype({"category": "str"})


def test_the_variance_of_leaks_is_split_by_samples_of_a_cluster() -> None:
    # Rates .75 and 0: V = 2 · .1875² / .5 = .1406. Samples sum to 2 and 1, over two prompts: .5 / 2 / 4² = .0156.
    (row,) = spread_of_leaks(pairs_of({"one": [[1.0, 0.5], [0.0, 0.0]]})).to_dict("records")
    assert row["measure"] == LEAK_RATE
    assert row["template_sd"] == pytest.approx(100 * np.sqrt(2 * (0.140625 - 0.015625)))
    assert row["text_sd"] == pytest.approx(100 * np.sqrt(2 * 0.03125))


def test_clusters_of_two_categories_are_one_in_all_of_them() -> None:
    pairs = pairs_of({"one": [[1.0, 0.5], [0.0, 0.0]], "two": [[0.5, 0.5], [0.0, 1.0]]})
    apart = spread_of_leaks(pairs.assign(category=pairs["prompt_id"].str[-1].where(pairs["cluster"] == "t1", "a")))
    assert apart["category"].to_list() == ["a", "b", "all"]
    assert apart[SPREAD].iloc[2].to_list() == pytest.approx(spread_of_leaks(pairs)[SPREAD].iloc[0].to_list())


def test_models_with_other_numbers_of_samples_are_compared_by_those_that_both_have() -> None:
    more = pairs_of({"one": [[1.0, 0.5, 0.0], [0.0, 0.0, 1.0]], "two": [[1.0, 0.5], [0.0, 0.0]]})
    (row,) = spread_of_leaks(more).to_dict("records")
    assert row["template_sd_difference"] == row["text_sd_difference"] == 0


def test_without_results_it_is_what_is_assumed() -> None:
    table = expected_spread([prompts_of(3)], ["s"], [], ASSUMED).set_index("measure")
    assert table["basis"].to_list() == ["stated", "stated"]
    assert table["n_clusters"].to_list() == [3, 3]
    # A cluster's rate is the mean of two prompts, whose texts count twice: ω² = (2 · ½)² (12² + 12²).
    assert table.loc[MATCH_RATE, SPREAD].to_list() == pytest.approx(
        [10, 12 * np.sqrt(2), 10 * np.sqrt(1.6), 12 * np.sqrt(4)]
    )
    assert table.loc[LEAK_RATE, SPREAD].to_list() == pytest.approx([15, 9, 15 * np.sqrt(1.6), 9 * np.sqrt(2)])


def test_unequal_clusters_differ_more_and_a_concept_alone_counts_for_nothing() -> None:
    prompts = pd.concat([prompts_of(1, "abc"), prompts_of(2, "a").iloc[2:]], ignore_index=True)
    table = expected_spread([prompts], ["s"], [], ASSUMED).set_index("measure")
    assert table["n_clusters"].to_dict() == {MATCH_RATE: 1, LEAK_RATE: 2}
    assert table.loc[LEAK_RATE, "template_sd"] == pytest.approx(15 * np.sqrt(2 * (9 + 1) / 16))


def test_a_pilot_counts_before_what_is_assumed() -> None:
    pilot = spread_of_matches(*results({"one": ONE}), prompts_of(2))
    table = expected_spread([prompts_of(7)], ["s", "other"], [pilot], ASSUMED).set_index(["measure", "scorer"])
    assert table["basis"].to_dict() == {
        (MATCH_RATE, "s"): "pilot",
        (MATCH_RATE, "other"): "stated",
        (LEAK_RATE, "s"): "stated",
        (LEAK_RATE, "other"): "stated",
    }
    assert set(table["n_clusters"]) == {7}
    template, text = pilot[["template_sd", "text_sd"]].iloc[0]
    # One model has no difference: two of them are taken to correlate as assumed.
    expected = [template, text, template * np.sqrt(1.6), text * np.sqrt(2)]
    assert table[SPREAD].iloc[0].to_list() == pytest.approx(expected)


def test_keys_of_the_configuration_are_what_is_assumed() -> None:
    section = {"template_sd": 1, "text_sd": 2, "leak_rate_template_sd": 3, "leak_rate_text_sd": 4, "correlation": 0.5}
    assert assumed(section) == {MATCH_RATE: Assumed(1, 2, 0.5), LEAK_RATE: Assumed(3, 4, 0.5)}


def test_the_number_of_texts_is_that_of_the_model_that_has_fewest() -> None:
    texts = pd.concat([results({"one": ONE})[1], results({"two": [[[0.1] * 5] * 2] * 2})[1]])
    assert samples_of(texts) == {"set": 2}


def planned(n_clusters: int, n_models: int = 3, sds: tuple[float, ...] = (9, 12, 12, 15), k: float = 4) -> Any:
    cell = dict(zip(CELL, (MATCH_RATE, "set", "s", "all"), strict=True))
    spread = pd.DataFrame(
        [{**cell, "basis": "stated", "n_clusters": n_clusters, **dict(zip(SPREAD, sds, strict=True))}]
    )
    return plan(spread, {"set": k}, n_models, SETTINGS)


def test_a_plan_says_what_so_many_clusters_find() -> None:
    table = planned(24)
    assert list(table) == COLUMNS
    row = table.iloc[0]
    sd, apart = np.sqrt(81 + 36), np.sqrt(144 + 56.25)  # √(τ² + ω²/4)
    assert [row["sd"], row["sd_difference"]] == pytest.approx([sd, apart], abs=1e-4)
    assert [row["n_tests"], row["n_comparisons"]] == [3, 3]
    assert row["attained_level"] == attained_level(0.05 / 3, 24)
    assert row["detectable"] == pytest.approx(50 + detectable(sd, 24, 0.05 / 3), abs=1e-4)
    assert row["clusters_needed"] == clusters_needed(sd, 5, 0.05 / 3)
    assert row["detectable_difference"] == pytest.approx(detectable(apart, 24, 0.05 / 3, most=100), abs=1e-4)
    assert row["clusters_needed_difference"] == clusters_needed(apart, 5, 0.05 / 3, most=100)


def test_more_models_more_tests_and_more_texts_less_noise() -> None:
    few, many, longer = (table.iloc[0] for table in (planned(24), planned(24, n_models=10), planned(24, k=20)))
    assert many["n_comparisons"] == 45
    assert few["detectable"] < many["detectable"]
    assert longer["detectable"] < few["detectable"]


def test_the_family_is_that_of_all_primary_cells() -> None:
    alone, of_six = (plan_of_24(n_cells).iloc[0] for n_cells in (1, 6))
    assert [of_six["n_tests"], of_six["n_comparisons"]] == [6 * alone["n_tests"], 6 * alone["n_comparisons"]]
    assert of_six["detectable"] == pytest.approx(50 + detectable(of_six["sd"], 24, 0.05 / 18), abs=1e-4)


def plan_of_24(n_cells: int) -> pd.DataFrame:
    cell = dict(zip(CELL, (MATCH_RATE, "set", "s", "all"), strict=True))
    spread = pd.DataFrame([{**cell, "basis": "stated", "n_clusters": 24, **dict.fromkeys(SPREAD, 9)}])
    return plan(spread, {"set": 4}, 3, SETTINGS._replace(n_cells=n_cells))


def test_results_that_cannot_be_split_count_whole_whatever_the_texts() -> None:
    assert planned(24, sds=(9, np.nan, 12, np.nan), k=20).iloc[0]["sd"] == 9


def test_a_plan_in_words_says_measure_clusters_and_sd() -> None:
    found, clusters = in_words(planned(24), SETTINGS)
    row = planned(24).iloc[0]
    assert found == (
        "set, match rate by s (sd of a cluster 10.8 points, of the difference of two models 14.2, as `plan` assumes). "
        "With 24 clusters, 4 texts a prompt and 3 models, rates of 57.7 and more are told from 50 at a power of 80 %, "
        f"and any two models that differ by 10.1 points. A rate of 55 takes {row['clusters_needed']:.0f} clusters, a "
        f"difference of 5 points {row['clusters_needed_difference']:.0f} clusters."
    )
    assert row["detectable"] <= 57.7 < row["detectable"] + 0.1
    assert row["detectable_difference"] <= 10.1 < row["detectable_difference"] + 0.1
    assert clusters == "Clusters are templates; those that share a control are one."


@pytest.mark.parametrize(
    ("n_clusters", "n_models", "sds", "said"),
    [
        (4, 3, (9, 12, 12, 15), "no rate is told from 50: no p-value is as small as 0.017, and no two models."),
        (24, 1, (9, 12, np.nan, np.nan), "rates of 56.5 and more are told from 50 at a power of 80 %. A rate of 55"),
        (8, 3, (40, 0, 12, 0), "no rate is told from 50 at a power of 80 %, and any two models that differ by "),
        (24, 1, (49.9, 0, np.nan, np.nan), "A rate of 55 takes "),
    ],
)
def test_what_cannot_be_seen_is_said(n_clusters: int, n_models: int, sds: tuple[float, ...], said: str) -> None:
    first, last = in_words(planned(n_clusters, n_models, sds), SETTINGS)
    assert said in first
    assert "nan" not in first
    assert ("Fewer than 10" in last) == (n_clusters < 10)


def test_a_study_that_compares_nothing_has_nothing_to_plan() -> None:
    nothing = plan(expected_spread([], ["s"], [], ASSUMED), {}, 0, SETTINGS)
    assert list(nothing) == COLUMNS
    assert in_words(nothing, SETTINGS) == ["This study compares no texts: nothing to plan."]


TEMPLATES = ["The cup", "Her car", "His hat", "A bag", "My house", "Our door", "One book"]
COLORS = ["red", "green", "blue"]


@pytest.mark.workflow
def test_a_plan_takes_results_where_they_are_and_makes_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "checkout")
    prompts, texts = ["prompt_id,control_id,concept,template_id,prompt"], ["prompt_id,generation_1,generation_2"]
    for t, noun in enumerate(TEMPLATES):
        prompts += [f"{t}{c},{t}-,{c},t{t},{noun} is {c}. I see" for c in COLORS] + [f"{t}-,,,t{t},{noun}: I see"]
        texts += [f"{t}{c},{c if t % 2 else 'nothing'}.,{c if t > 1 else 'it'}." for c in COLORS] + [f"{t}-,it.,one."]
    (workspace.folder / "prompts.csv").write_text("\n".join(prompts) + "\n", encoding="utf-8")
    (workspace.folder / "one.csv").write_text("\n".join(texts) + "\n", encoding="utf-8")
    study = {
        "study": {"name": "mine", "models": ["one"], "prompt_sets": ["mine"], "scorers": ["lexical"]},
        "prompt_sets": {"mine": {"source": "table", "path": "prompts.csv"}},
        "models": {"one": {"source": "generations", "path": "one.csv"}},
    }
    results, wished = workspace.folder / "results/mine", ("--cores", "1", "plan", "--forcerun=plan")
    said = workspace.run(*wished, study=study).stdout
    assert "With 7 clusters, 1 text a prompt and 1 model, " in said
    assert "as `plan` assumes" in said
    assert set(pd.read_csv(results / "plan.csv")["basis"]) == {"stated"}
    assert not (results / "generations").exists()
    workspace.run("--cores", "1", "results/mine/match_rates.csv", "results/mine/leak_rates.csv", study=study)
    said = workspace.run(*wished, study=study).stdout
    assert "With 7 clusters, 2 texts a prompt and 1 model" in said
    assert "from the results that are there" in said
    table = pd.read_csv(results / "plan.csv").set_index("measure")
    assert set(table["basis"]) == {"pilot"}
    rates = pd.read_csv(results / "match_rates.csv")
    assert rates["n_clusters"].to_list() == table["n_clusters"].drop_duplicates().to_list() == [7]
    assert (table["text_sd"] > 0).all()  # samples differ, where one names the color
