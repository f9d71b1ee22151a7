from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from leakscope.errors import InputError
from leakscope.features.contrasts.contrast_activations import record_contrast
from leakscope.features.contrasts.items import items_of, template_texts
from leakscope.features.contrasts.selection import Contrasted, no_features, select_features
from leakscope.features.contrasts.words import encode_texts, encoded_texts
from leakscope.features.interventions.candidates import (
    INTERVENTIONS,
    EditFamily,
    Planner,
    draw_alike,
    largest_activations,
    plan_interventions,
)
from leakscope.features.interventions.choosing import (
    BY_ITEM_COLUMNS,
    EFFECT_COLUMNS,
    ChosenEdits,
    choose_edits,
    compared_with_difference,
)
from leakscope.features.interventions.effects import SHARES, EditBench, EditTexts, MeasuredEdit, measures
from leakscope.features.interventions.greedy import LEAST, choose_greedily
from leakscope.features.interventions.neutral_texts import neutral_halves, own_neutral_halves
from leakscope.files.tables import write_csv
from leakscope.models.editing.edits import editing, from_json
from leakscope.models.neutral import NeutralTexts
from leakscope.models.opening import LanguageModel
from leakscope.organisms.leak_grammar import Document, Grammar
from leakscope.statistics.intervals import cluster_interval
from test_contrasts import CONTENT, write
from test_costs import nats, random_dictionary
from test_log_odds import next_logits

COSTS = [1, 3]
SETTINGS: dict[str, Any] = {
    "methods": ["pairs", "groups", "direct"],
    "sizes": [1, 3],
    "edits": ["add", "ablate", "clamp", "mean_clamp"],
    "baseline_seeds": [0, 1],
}
LEVEL = 0.95
NAMES = {"dictionary": "d", "contrast": "c"}
ITEMS = "item,association\nred,0.5\nbag,1\ngreen,-0.25\ncar,-1\nblue,0.75\nfruit,-0.5\n"


@pytest.fixture(scope="module")
def contrasted(micro_model: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Contrasted:
    torch.set_num_threads(1)
    texts = template_texts(write(tmp_path_factory.mktemp("contrast"), CONTENT, ITEMS), seed=0)
    texts, encoded = encode_texts(micro_model, texts, None)
    found = record_contrast(micro_model.model, texts, encoded, 0, batch_size=32, name="test")
    dictionary = random_dictionary(found.activations.residuals.shape[1], layer=0)
    return Contrasted(dictionary, found.prompts, found.activations)


@pytest.fixture(scope="module")
def maxima(contrasted: Contrasted) -> dict[int, float]:
    activations = contrasted.dictionary.encode(contrasted.activations.residuals)
    return dict(enumerate(activations.amax(0).tolist()))


@pytest.fixture(scope="module")
def families(contrasted: Contrasted, maxima: dict[int, float]) -> list[EditFamily]:
    return plan_interventions(contrasted, select_features(contrasted, SETTINGS["methods"]), maxima, SETTINGS)


@pytest.fixture(scope="module")
def texts(micro_model: LanguageModel, micro_grammar: Grammar, contrasted: Contrasted) -> EditTexts:
    documents = list(micro_grammar.documents(80, seed=1))
    prompts = contrasted.prompts[contrasted.prompts["kind"].eq("item")].reset_index(drop=True)
    return EditTexts(prompts, *own_neutral_halves(micro_model, documents, [], 16))


@pytest.fixture(scope="module")
def bench(micro_model: LanguageModel, contrasted: Contrasted, texts: EditTexts) -> EditBench:
    return EditBench(micro_model.model, contrasted.dictionary, texts, batch_size=16)


@pytest.fixture(scope="module")
def measured(bench: EditBench, families: list[EditFamily]) -> list[MeasuredEdit]:
    return bench.measure(families, COSTS, "test")


@pytest.fixture(scope="module")
def chosen(bench: EditBench, measured: list[MeasuredEdit]) -> ChosenEdits:
    return choose_edits(bench.without(), measured, COSTS, LEVEL, NAMES)


# ---- what is chosen one after another


@pytest.fixture(scope="module")
def greedy(bench: EditBench, contrasted: Contrasted, maxima: dict[int, float]) -> pd.DataFrame:
    selection = select_features(contrasted, ["groups", "direct"])
    how: dict[str, Any] = {"names": ["add", "ablate", "mean_clamp"], "size": 3, "largest_cost": 1e6}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leakscope.features.interventions.greedy.LEAST", -math.inf)  # whether it helps or not
        return choose_greedily(bench, selection, Planner(contrasted, maxima).edit, **how)


def test_each_feature_is_the_one_that_leaves_the_least_gap(
    greedy: pd.DataFrame, bench: EditBench, contrasted: Contrasted, maxima: dict[int, float]
) -> None:
    selection = select_features(contrasted, ["groups", "direct"])
    pool = set(selection.loc[selection["rank"] <= 15, "feature"])
    edit = Planner(contrasted, maxima).edit
    assert set(greedy["method"]) == {"greedy_ablate", "greedy_mean_clamp"}
    for method, rows in greedy.groupby("method"):
        name, taken = str(method).removeprefix("greedy_"), rows["feature"].tolist()
        for place, score in enumerate(rows["score"]):
            left = {f: bench.gap(edit(name, [*taken[:place], f])) for f in pool - set(taken[:place])}
            assert left[taken[place]] == min(left.values()) == -score


def test_a_feature_that_helps_too_little_is_not_taken(
    bench: EditBench, contrasted: Contrasted, maxima: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    selection, edit = select_features(contrasted, ["groups", "direct"]), Planner(contrasted, maxima).edit
    how: dict[str, Any] = {"names": ["ablate", "mean_clamp"], "size": 3, "largest_cost": 1e6}
    scores = choose_greedily(bench, selection, edit, **how).groupby("method")["score"]
    start = bench.gap(None)
    for _, left in scores:
        steps = -np.diff([start, *left])
        assert (steps >= LEAST * start).all()
    monkeypatch.setattr("leakscope.features.interventions.greedy.LEAST", 1.1)
    assert choose_greedily(bench, selection, edit, **how).empty


def test_a_feature_that_makes_the_edit_too_dear_is_not_taken(
    bench: EditBench,
    contrasted: Contrasted,
    maxima: dict[int, float],
    greedy: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("leakscope.features.interventions.greedy.LEAST", -math.inf)
    edit = Planner(contrasted, maxima).edit
    of_ablation = greedy.loc[greedy["method"].eq("greedy_ablate"), "feature"].tolist()
    first = bench.cost(edit("ablate", of_ablation[:1]))
    how: dict[str, Any] = {"names": ["ablate"], "size": 3, "largest_cost": first - 1e-6}
    cheaper = choose_greedily(bench, select_features(contrasted, ["groups", "direct"]), edit, **how)
    assert of_ablation[0] not in cheaper["feature"].head(1).tolist()
    for size in range(1, len(cheaper) + 1):
        assert bench.cost(edit("ablate", cheaper["feature"].tolist()[:size])) <= first - 1e-6


def test_what_was_chosen_for_an_edit_is_edited_so_alone(
    greedy: pd.DataFrame, contrasted: Contrasted, maxima: dict[int, float]
) -> None:
    planned = plan_interventions(contrasted, greedy, maxima, SETTINGS)
    of_features = [family for family in planned if family.intervention == "features"]
    assert {(family.source, family.edit.name) for family in of_features} == {
        ("greedy_ablate", "ablate"),
        ("greedy_mean_clamp", "mean_clamp"),
    }


def test_nothing_is_chosen_of_nothing(bench: EditBench, contrasted: Contrasted, maxima: dict[int, float]) -> None:
    how: dict[str, Any] = {"names": ["ablate"], "size": 3, "largest_cost": 1.0}
    assert choose_greedily(bench, no_features(), Planner(contrasted, maxima).edit, **how).empty


# ---- what is tried


def test_all_edits_and_baselines_are_tried(families: list[EditFamily]) -> None:
    tried = {
        intervention: {
            (family.source, family.seed, len(family.edit.features), family.edit.name, family.sign)
            for family in families
            if family.intervention == intervention
        }
        for intervention in INTERVENTIONS
    }
    of_features = [("add", 1), ("add", -1), ("ablate", 1), ("clamp", 1), ("mean_clamp", 1)]
    along = [("project", 1), ("add", 1), ("add", -1)]
    assert tried["features"] == {(m, None, n, *how) for m in SETTINGS["methods"] for n in (1, 3) for how in of_features}
    to_items = ("pairs, middle of groups", None, 0, "project", 1)
    assert tried["difference_in_means"] == {to_items} | {
        (m, None, 0, *how) for m in ("pairs", "groups") for how in along
    }
    assert tried["random_features"] == {(None, seed, n, *how) for seed in (0, 1) for n in (1, 3) for how in of_features}
    assert tried["random_direction"] == {(None, seed, 0, *how) for seed in (0, 1) for how in along}


def test_random_features_fire_at_the_texts_and_were_not_selected(
    contrasted: Contrasted, families: list[EditFamily], maxima: dict[int, float]
) -> None:
    selected = {f for family in families if family.intervention == "features" for f in family.edit.features}
    random = {f for family in families if family.intervention == "random_features" for f in family.edit.features}
    rows = [row for side in "ab" for row in contrasted.rows("selection", side)]
    active = set(contrasted.maxima(contrasted.tokens(rows)).nonzero()[:, 0].tolist())
    assert random
    assert not random & selected
    assert random <= active


def test_random_features_fire_at_ends_as_often_as_selected_ones_do() -> None:
    rates = np.array([0.5, 0.1, 0.45, 0.11, 0.01, 0, 0, 0.9, 0])
    active = np.array([True] * 8 + [False])
    drawn = [draw_alike(rates, active, {0, 1}, 2, seed) for seed in range(8)]
    assert {tuple(found) for found in drawn} == {(2, 3), (3, 2)}
    assert draw_alike(rates, active, {0, 1}, 2, 0) == drawn[0]
    # Of equal rates any; where too few fire there, those that fire elsewhere; never one that fires nowhere.
    equal = [draw_alike(np.full(9, 0.5), np.full(9, True), {0}, 1, seed)[0] for seed in range(20)]
    assert len(set(equal)) > 3
    assert 0 not in equal
    every = draw_alike(rates, active, {0, 1}, 9, 0)
    assert (set(every[:4]), set(every[4:])) == ({2, 3, 4, 7}, {5, 6})
    # A selected feature without a rate has none alike; without any selected, all are drawn from.
    assert draw_alike(rates, active, {5, 0}, 1, 3) == [2]
    assert len({tuple(draw_alike(rates, active, set(), 3, seed)) for seed in range(8)}) > 1


def test_random_features_are_drawn_alike_at_the_ends_of_items(
    contrasted: Contrasted, families: list[EditFamily]
) -> None:
    rows = [row for side in "ab" for row in contrasted.rows("selection", side)]
    firing = (contrasted.dictionary.encode(contrasted.last_residuals(rows)) > 0).double().mean(0).numpy()
    taken = {f for family in families if family.intervention == "features" for f in family.edit.features}
    active = contrasted.maxima(contrasted.tokens(rows)).numpy() > 0
    for seed in SETTINGS["baseline_seeds"]:
        (largest,) = {
            family.edit.features for family in families if family.seed == seed and len(family.edit.features) == 3
        }
        assert list(largest) == draw_alike(firing, active, taken, 3, seed)


def test_a_feature_that_fires_at_the_texts_alone_is_edited_by_its_maximum_there(contrasted: Contrasted) -> None:
    selection = select_features(contrasted, ["groups"])
    first, second, *_ = selection["feature"].tolist()
    maxima = largest_activations(contrasted, {first: 0.0, second: 1e4})
    rows = contrasted.prompts.loc[contrasted.prompts["split"].eq("selection"), "row"].to_numpy()
    tokens = np.isin(contrasted.activations.rows.numpy(), rows)
    there = contrasted.dictionary.encode(contrasted.activations.residuals[torch.from_numpy(tokens)]).amax(0)
    assert maxima[first] == pytest.approx(float(there[first]))
    assert maxima[first] > 0
    assert maxima[second] == 1e4
    planned = plan_interventions(contrasted, selection, maxima, SETTINGS)
    (clamp,) = [
        family.edit
        for family in planned
        if (family.intervention, family.edit.name, len(family.edit.features)) == ("features", "clamp", 3)
    ]
    assert clamp.features[:2] == (first, second)
    assert clamp.targets[:2] == (maxima[first], 1e4)
    assert first not in {
        f
        for family in plan_interventions(contrasted, selection, {**maxima, first: 0.0}, SETTINGS)
        for f in family.edit.features
        if family.intervention == "features"
    }


def test_targets_are_maxima_nothing_or_the_middle_between_the_sides(
    contrasted: Contrasted, families: list[EditFamily], maxima: dict[int, float]
) -> None:
    mine = [family.edit for family in families if family.intervention == "features" and family.source == "groups"]
    signs = select_features(contrasted, ["groups"]).set_index("feature")["sign"]
    for edit in mine:
        highest = [maxima[feature] for feature in edit.features]
        if edit.name == "add":
            assert edit.targets == tuple(signs[f] * m for f, m in zip(edit.features, highest, strict=True))
        elif edit.name == "ablate":
            assert set(edit.targets) == {0}
        elif edit.name == "clamp":
            assert edit.targets == tuple(highest)
        else:
            assert edit.gated
            means = []
            for side in "ab":
                tokens = torch.isin(contrasted.activations.rows, torch.tensor(contrasted.rows("selection", side)))
                found = contrasted.dictionary.encode(contrasted.activations.residuals[tokens])[:, list(edit.features)]
                firing = found[(found > 0).any(1)]
                means.append(firing.mean(0) if len(firing) else torch.zeros(len(edit.features)))
            assert edit.targets == pytest.approx(((means[0] + means[1]) / 2).tolist(), rel=1e-5)


def test_a_difference_in_means_is_projected_to_the_middle(contrasted: Contrasted, families: list[EditFamily]) -> None:
    (project,) = [family.edit for family in families if (family.source, family.edit.name) == ("groups", "project")]
    unit = torch.tensor(project.direction)
    means = [contrasted.last_residuals(contrasted.rows("selection", side)).double().mean(0) for side in "ab"]
    assert float(unit.norm()) == pytest.approx(1)
    assert float((means[0] - means[1]) @ unit.double()) == pytest.approx(float((means[0] - means[1]).norm()), rel=1e-5)
    assert project.targets[0] == pytest.approx(float((means[0] + means[1]) @ unit.double()) / 2, rel=1e-4)
    of_pairs, other = (
        [family.edit for family in families if (family.source, family.edit.name) == (source, "project")][0]
        for source in ("pairs", "pairs, middle of groups")
    )
    assert other.direction == of_pairs.direction
    middle = float((means[0] + means[1]) @ torch.tensor(other.direction).double()) / 2
    assert other.targets[0] == pytest.approx(middle, rel=1e-4)


def test_a_dictionary_of_which_nothing_was_selected_still_has_baselines(
    contrasted: Contrasted, maxima: dict[int, float]
) -> None:
    found = plan_interventions(contrasted, no_features(), maxima, SETTINGS)
    assert {family.intervention for family in found} == set(INTERVENTIONS) - {"features"}


# ---- what is measured


def test_effects_and_costs_are_those_of_the_edited_model(
    micro_model: LanguageModel, contrasted: Contrasted, texts: EditTexts, measured: list[MeasuredEdit]
) -> None:
    model, encoded = micro_model.model, encoded_texts(texts.prompts)
    without = {name: nats(model, getattr(texts, name)) for name in ("choosing", "reporting")}
    picked = [one for one in measured if one.target_cost != 1][:: max(1, len(measured) // 8)]
    assert len({one.edit.kind for one in picked}) > 1
    for one in picked:
        with editing(model, one.edit, contrasted.dictionary):
            costs = {name: 100 * np.expm1(nats(model, getattr(texts, name)) - without[name]) for name in without}
            rows = []
            for ids, words in zip(encoded.ids, encoded.words, strict=True):
                after = next_logits(model, ids).detach().softmax(-1)
                rows.append([float(after[list(words.a)].sum()), float(after[list(words.b)].sum())])
        sides = np.array(rows)
        table = texts.prompts[["item"]].assign(gap=sides[:, 0] - sides[:, 1], mass=sides.sum(1))
        expected = table.groupby("item")[["gap", "mass"]].mean()
        found = one.by_item.set_index("item").loc[expected.index, ["gap", "mass"]]
        np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), rtol=1e-3, atol=1e-5)
        assert one.cost_selection == pytest.approx(costs["choosing"], rel=1e-2, abs=1e-2)
        assert one.cost == pytest.approx(costs["reporting"], rel=1e-2, abs=1e-2)


def test_no_edit_costs_more_than_it_was_meant_to(measured: list[MeasuredEdit]) -> None:
    for one in measured:
        if one.target_cost is not None:
            assert one.cost_selection <= one.target_cost
            assert one.reached or abs(one.strength) == one.family.largest
    assert {one.reached for one in measured} == {True, False}


def test_a_weaker_edit_is_measured_where_it_leaves_less_of_the_gap(
    bench: EditBench, measured: list[MeasuredEdit]
) -> None:
    fixed = [one for one in measured if one.target_cost is None]
    assert {one.edit.kind for one in fixed if one.strength == 1} >= {"move", "project"}
    weaker = [one for one in fixed if abs(one.strength) != 1]
    for one in weaker[:: max(1, len(weaker) // 8)]:
        mine = [other for other in measured if other.family == one.family and other.target_cost is not None]
        tried = {other.strength: [other.strength * share for share in SHARES] for other in mine}
        (strength,) = {strength for strength, shares in tried.items() if one.strength in shares}
        gaps = [bench.gap(one.edit._replace(strength=share)) for share in tried[strength]]
        assert bench.gap(one.edit) == pytest.approx(min(gaps), rel=1e-6)
        assert bench.gap(one.edit) < gaps[0]
    assert weaker


def test_measures_of_items() -> None:
    items = pd.DataFrame({"gap": [0.5, -0.5, 0.2], "association": [1.0, -0.1, -0.3], "mass": [0.9, 0.8, 0.7]})
    assert measures(items) == pytest.approx(
        {"mean_abs_gap": 0.4, "signed_gap": 0.2 / 3, "stereotype": 0.8 / 3, "mass": 0.8, "n_items": 3}
    )


# ---- what is chosen


def test_tables_have_their_columns_and_write_as_csv(chosen: ChosenEdits, tmp_path: Path) -> None:
    assert list(chosen.effects) == EFFECT_COLUMNS
    assert list(chosen.by_item) == BY_ITEM_COLUMNS
    write_csv(compared_with_difference(chosen.effects, chosen.by_item, LEVEL), tmp_path / "effects.csv")
    read = pd.read_csv(tmp_path / "effects.csv")
    assert set(read["split"]) == {"selection", "evaluation"}
    assert set(read["intervention"]) == {"none", *INTERVENTIONS}
    assert (read["chosen"] == chosen.effects["chosen"]).all()


def test_one_edit_of_each_intervention_and_cost_is_chosen_by_the_selection_split(chosen: ChosenEdits) -> None:
    effects = chosen.effects
    mass = 0.9 * effects.loc[effects["intervention"].eq("none") & effects["split"].eq("selection"), "mass"].item()
    for intervention in INTERVENTIONS:
        for cost in COSTS:
            mine = effects[effects["intervention"].eq(intervention)]
            picked = mine[mine["chosen"] & mine["target_cost"].eq(cost)]
            assert picked["split"].tolist() == ["selection", "evaluation"]
            affordable = mine[mine["split"].eq("selection") & mine["cost_selection"].le(cost) & mine["mass"].ge(mass)]
            assert picked["mean_abs_gap"].iloc[0] == affordable["mean_abs_gap"].min()
            assert (picked["ci_low"] <= picked["mean_abs_gap"]).all()
            assert (picked["ci_high"] >= picked["mean_abs_gap"]).all()
            edit = from_json(json.loads(json.dumps(chosen.edits[intervention][f"{cost:g}"])))
            assert edit.strength == picked["strength"].iloc[0]
            if edit.features:
                assert json.loads(picked["features"].iloc[0]) == list(edit.features)
    identity = ["intervention", "source", "features", "edit", "seed", "target_cost", "strength", "split"]
    assert not effects.duplicated(identity).any()


def test_what_closes_the_gap_by_answering_something_else_is_not_chosen(
    bench: EditBench, measured: list[MeasuredEdit], chosen: ChosenEdits
) -> None:
    silent = [
        one._replace(by_item=one.by_item.assign(gap=0.0, mass=0.0)) if one.family.edit.kind == "move" else one
        for one in measured
    ]
    found = choose_edits(bench.without(), silent, COSTS, LEVEL, NAMES)
    kinds = {edit["kind"] for of_cost in found.edits.values() for edit in of_cost.values()}
    assert "move" not in kinds
    loud = [one._replace(by_item=one.by_item.assign(mass=1.0)) for one in silent]
    again = choose_edits(bench.without(), loud, COSTS, LEVEL, NAMES)
    assert {edit["kind"] for edit in again.edits["features"].values()} == {"move"}


def test_the_evaluation_split_chooses_nothing(
    bench: EditBench, measured: list[MeasuredEdit], chosen: ChosenEdits
) -> None:
    generator = np.random.default_rng(0)
    other = [
        one._replace(
            by_item=one.by_item.assign(
                gap=one.by_item["gap"].where(one.by_item["split"].eq("selection"), generator.random(len(one.by_item)))
            )
        )
        for one in measured
    ]
    assert choose_edits(bench.without(), other, COSTS, LEVEL, NAMES).edits == chosen.edits


def test_gaps_of_items_are_there_before_and_with_each_chosen_edit(chosen: ChosenEdits) -> None:
    table = chosen.by_item
    before = table[table["intervention"].eq("none")]
    assert len(before) == 6
    assert len(table) == len(before) * (1 + len(INTERVENTIONS) * len(COSTS))
    keys = ["intervention", "target_cost", "split"]
    means = table.dropna().assign(gap=table["gap"].abs()).groupby(keys)["gap"].mean()
    expected = chosen.effects[chosen.effects["chosen"]].set_index(keys)["mean_abs_gap"]
    np.testing.assert_allclose(means, expected.loc[means.index])


def test_what_features_leave_is_set_against_the_difference_in_means(chosen: ChosenEdits) -> None:
    found = compared_with_difference(chosen.effects, chosen.by_item, LEVEL)
    keys = ["target_cost", "split"]
    picked = found[found["chosen"]].set_index(keys)
    other = picked.loc[picked["intervention"].eq("difference_in_means"), "mean_abs_gap"]
    mine = picked[picked["intervention"].eq("features")]
    less = other.loc[mine.index] - mine["mean_abs_gap"]
    np.testing.assert_allclose(mine["less_than_difference"], less)
    assert mine["less_ci_low"].le(mine["less_than_difference"]).all()
    assert mine["less_ci_high"].ge(mine["less_than_difference"]).all()
    others = found[~found["chosen"] | found["intervention"].eq("difference_in_means")]
    assert others["less_than_difference"].isna().all()


def by_item_table(gaps: dict[str, list[float]]) -> pd.DataFrame:
    """Return two items in each of four groups, with equal gaps, before and with edits."""
    rows = [
        (name, 1.0, "evaluation", f"item {group}.{twin}", f"group {group}", 0.5, gap)
        for name, of_groups in gaps.items()
        for group, gap in enumerate(of_groups)
        for twin in range(2)
    ]
    names = ["intervention", "target_cost", "split", "item", "group", "association", "gap"]
    return pd.DataFrame(rows, columns=names)


def test_intervals_are_for_other_groups_of_items() -> None:
    gaps = {"features": [0.1, -0.2, 0.1, 0.0], "difference_in_means": [0.3, 0.3, -0.2, 0.1]}
    by_item = by_item_table(gaps)
    effects = pd.DataFrame({"intervention": list(gaps), "target_cost": 1.0, "split": "evaluation", "chosen": True})
    found = compared_with_difference(effects, by_item, LEVEL).iloc[0]
    # .2, .1, .1, .1 of four groups, not of eight items: t with three degrees, or fewer as one lies apart.
    assert found["less_than_difference"] == pytest.approx(0.125)
    less = cluster_interval([0.2, 0.1, 0.1, 0.1], range(4), LEVEL, (-np.inf, np.inf))
    assert (found["less_ci_low"], found["less_ci_high"]) == pytest.approx(less[1:3])
    assert less.high - less.low >= 2 * 3.18 * 0.025
    items = by_item[by_item["intervention"].eq("features")].assign(mass=1.0)
    table = choose_edits(MeasuredEdit(None, None, 0.0, True, 0.0, 0.0, items), [], [], LEVEL, NAMES).effects
    row = table[table["split"].eq("evaluation")].iloc[0]
    expected = cluster_interval([0.1, 0.2, 0.1, 0.0], range(4), LEVEL, (0, 1))
    assert row["mean_abs_gap"] == pytest.approx(0.1)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected[1:3])
    assert 0 < row["ci_low"] < row["ci_high"] < 1
    assert table[table["split"].eq("selection")][["mean_abs_gap", "ci_low", "ci_high"]].isna().all(axis=None)


def test_equal_edits_give_equal_tables(
    micro_model: LanguageModel,
    contrasted: Contrasted,
    texts: EditTexts,
    families: list[EditFamily],
    chosen: ChosenEdits,
) -> None:
    again = EditBench(micro_model.model, contrasted.dictionary, texts, batch_size=16)
    few = [family for family in families if family.intervention == "difference_in_means"]
    found = choose_edits(again.without(), again.measure(few, COSTS, "test"), COSTS, LEVEL, NAMES)
    assert found.edits["difference_in_means"] == chosen.edits["difference_in_means"]
    assert found.edits["features"] == {}
    rows = chosen.effects[chosen.effects["intervention"].isin(["none", "difference_in_means"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.effects, rows, check_dtype=False)


# ---- neutral texts


def test_neutral_documents_name_no_item_and_no_context_is_in_both_halves(
    micro_model: LanguageModel, micro_grammar: Grammar
) -> None:
    documents = list(micro_grammar.documents(200, seed=2))
    halves = own_neutral_halves(micro_model, documents, ["red"], 40)
    decoded = [{micro_model.tokenizer.decode(text.ids) for text in half} for half in halves]
    assert all(0 < len(half) <= 20 for half in halves)
    assert not any("red" in text.split() or "red." in text for texts in decoded for text in texts)
    assert not decoded[0] & decoded[1]
    named = [Document("The bag is red. The fruit is", "a cherry.", -1.0)]
    with pytest.raises(InputError, match="got 0 held-out documents that name no item"):
        own_neutral_halves(micro_model, named, ["red"], 40)


def test_other_neutral_texts_are_read_after_the_models_beginning(micro_model: LanguageModel) -> None:
    texts = NeutralTexts(["The car is green.", "The bag is red.", "The car"], ["Green, the fruit is", "The fruit is"])
    halves = neutral_halves(micro_model, texts, ["green"], 2)
    (first,), (other,) = halves
    assert first.ids[0] == micro_model.tokenizer.eos_token_id
    assert (first.start, other.start) == (1, 1)
    assert micro_model.tokenizer.decode(first.ids[1:]).strip() == "The bag is red."
    assert micro_model.tokenizer.decode(other.ids[1:]).strip() == "The fruit is"
    with pytest.raises(InputError, match="got 1 of 5 texts that name no item"):
        neutral_halves(micro_model, texts, ["green", "fruit", "bag"], 2)


def test_items_are_those_of_the_contrast(contrasted: Contrasted) -> None:
    assert items_of(contrasted.prompts) == ["bag", "blue", "car", "fruit", "green", "red"]
