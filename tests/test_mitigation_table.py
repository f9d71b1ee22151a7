"""mitigations.csv: what is left of leak and use, with intervals for other templates and other concepts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leakscope.statistics.jackknife import leave_out, t_interval, t_test
from leakscope.trace.removal.columns import EXACT, LEAK, MEASURED, SPLITS, USE
from leakscope.trace.removal.table import MITIGATION_COLUMNS, Written, summarise_mitigations
from leakscope.trace.removal.texts import measure_texts, repeats_itself

TEMPLATES, GROUPS = range(6), "abcde"
RIGHT = {"one": 5, "two": 4, "bad": 1}  # of five prompts of use of each form, without a mitigation
NAN = np.nan


def noise(template: int, group: str) -> float:
    return 0.1 * ((7 * template + 3 * GROUPS.index(group)) % 5 - 2)


def measured(
    mitigation: str, kind: str, strengths: dict[tuple[float, float, float], float], *, lost: int = 0, model: str = "m"
) -> pd.DataFrame:
    """Return ``MEASURED``: strength, target and share → what is taken off a leak of 2; so many right answers are lost.

    What is taken off differs by template: twice as much in odd ones as in even ones, and not at all without strength.
    """
    rows: list[dict[str, Any]] = []
    for (strength, target, share), taken in strengths.items():
        for split in SPLITS:
            shared = {
                "model": model, "prompt_set": "s", "mitigation": mitigation, "kind": kind, "variant": "",
                "strength": strength, "target_cost": target, "share": share, "reached": True,
                "cost_selection": strength, "cost": 1.5 * strength, "split": split,
            }  # fmt: skip
            for t in TEMPLATES:
                for g in GROUPS:
                    left = 2 + noise(t, g) - taken * (2 if t % 2 else 1) * 2 / 3
                    key = {"prompt_id": f"{split}/{t}/{g}", "template_id": f"{split}/{t}", "concept_group": g}
                    rows.append({**shared, **key, "measure": LEAK, "value": left})
            for form, right in RIGHT.items():
                for n, g in enumerate(GROUPS):
                    key = {"prompt_id": f"{split}/{form}/{g}", "template_id": form, "concept_group": g}
                    rows.append({**shared, **key, "measure": USE, "value": float(n < right - lost)})
    return pd.DataFrame(rows)[MEASURED]


def record(mitigation: str, kind: str, chosen: dict[str, tuple[float, float | None, float] | None]) -> dict[str, Any]:
    entries = {
        cost: None
        if at is None
        else {"variant": "", "strength": at[0], "target_cost": at[1], "share": at[2], "manifest": {}}
        for cost, at in chosen.items()
    }
    return {"model": "m", "prompt_set": "s", "mitigation": mitigation, "kind": kind, "chosen": entries}


NONE = measured("none", "none", {(0.0, NAN, 1.0): 0.0}), record("none", "none", {"1": None, "3": None})
STEERED = (
    measured("steered", "steering", {(1.0, 1, 1.0): 0.5, (3.0, 3, 1.0): 1.5, (1.5, 3, 0.5): 1.0}, lost=1),
    record("steered", "steering", {"1": (1.0, 1, 1.0), "3": (3.0, 3, 1.0)}),
)
ASKED = (
    measured("asked", "prompt", {(0.0, NAN, 1.0): 0.5}),
    record("asked", "prompt", {"1": (0.0, None, 1.0), "3": (0.0, None, 1.0)}),
)
BEGGED = (
    measured("begged", "prompt", {(0.0, NAN, 1.0): 0.25}),
    record("begged", "prompt", {"1": (0.0, None, 1.0), "3": (0.0, None, 1.0)}),
)
DEAR = measured("dear", "tuning", {(9.0, 3, 1.0): 2.0}), record("dear", "tuning", {"1": None, "3": None})
ALL = (NONE, STEERED, ASKED, BEGGED, DEAR)


def summary(*parts: tuple[pd.DataFrame, dict[str, Any]], **how: Any) -> pd.DataFrame:
    return summarise_mitigations([table for table, _ in parts], [said for _, said in parts], [1, 3], 0.95, 0.95, **how)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return summary(*ALL)


def row(table: pd.DataFrame, mitigation: str, strength: float = 0.0, split: str = "evaluation") -> pd.Series:
    found = table[(table["mitigation"] == mitigation) & (table["strength"] == strength) & (table["split"] == split)]
    assert len(found) == 1
    return found.iloc[0]


def test_every_strength_has_a_row_of_each_split(table: pd.DataFrame) -> None:
    assert list(table) == MITIGATION_COLUMNS
    assert len(table) == 2 * (1 + 3 + 1 + 1 + 1)
    chosen = table.query("split == 'evaluation'").set_index(["mitigation", "strength"])
    assert chosen["chosen_at"].to_dict() == {
        ("none", 0.0): "", ("steered", 1.0): "1", ("steered", 3.0): "3", ("steered", 1.5): "", ("asked", 0.0): "1 3",
        ("begged", 0.0): "1 3", ("dear", 9.0): "",
    }  # fmt: skip
    assert (chosen["chosen"].eq("yes") == chosen["chosen_at"].ne("")).all()
    assert (table["cost"] == 1.5 * table["cost_selection"]).all()
    assert set(table["reached"]) == {"yes"}


def test_what_is_left_of_the_leak_is_its_mean_and_its_share_of_that_of_no_mitigation(table: pd.DataFrame) -> None:
    none, steered = row(table, "none"), row(table, "steered", 3.0)
    mean = 2 + np.mean([noise(t, g) for t in TEMPLATES for g in GROUPS])
    assert (none["leak"], none["left"]) == pytest.approx((mean, 1.0))
    # Odd templates lose 2, and even ones 1.
    assert steered["leak"] == pytest.approx(mean - 1.5)
    assert steered["left"] == pytest.approx((mean - 1.5) / mean)
    assert (steered["n_prompts"], steered["n_templates"], steered["n_groups"]) == (30, 6, 5)
    assert steered["leak_ci_low"] < steered["leak"] < steered["leak_ci_high"]
    assert steered["left_ci_low"] < steered["left"] < steered["left_ci_high"]
    assert np.isnan(none[["left_ci_low", "left_ci_high", "less_than_none", "less_than_none_p"]].astype(float)).all()


def test_templates_that_avoid_the_concept_do_not_make_up_for_others() -> None:
    taken = measured("over", "steering", {(1.0, 1, 1.0): 3.0})  # 2 off the even templates, 4 off the odd ones
    found = row(summary(NONE, (taken, record("over", "steering", {"1": (1.0, 1, 1.0)}))), "over", 1.0)
    by_template = [2 - (4 if t % 2 else 2) + np.mean([noise(t, g) for g in GROUPS]) for t in TEMPLATES]
    assert found["leak"] == pytest.approx(np.mean(by_template))
    assert found["leak_absolute"] == pytest.approx(np.mean(np.abs(by_template)))
    assert found["leak_absolute"] > abs(found["leak"])


def test_what_is_left_of_templates_that_avoid_and_that_repeat_the_concept_is_one_share() -> None:
    def turned(part: tuple[pd.DataFrame, dict[str, Any]], share: float) -> tuple[pd.DataFrame, dict[str, Any]]:
        leaks = part[0]["measure"].eq(LEAK)
        odd = part[0]["template_id"].str.endswith(("1", "3", "5"))
        value = part[0]["value"].where(~leaks, part[0]["value"] * np.where(odd, -share, share))
        return part[0].assign(value=value), part[1]

    kept = measured("half", "steering", {(1.0, 1, 1.0): 0.0}), record("half", "steering", {"1": (1.0, 1, 1.0)})
    found = summary(turned(NONE, 1.0), turned(kept, 0.5))
    none, half = row(found, "none"), row(found, "half", 1.0)
    # The mean leak is next to nothing, and half of nothing says little.
    assert abs(none["leak"]) < 0.1 < 1.9 < none["leak_absolute"]
    assert (half["left"], half["leak_absolute"] / none["leak_absolute"]) == pytest.approx((0.5, 0.5))
    assert half["less_than_none"] == pytest.approx(none["leak_absolute"] / 2)


def test_differences_are_of_the_same_prompts(table: pd.DataFrame) -> None:
    steered = row(table, "steered", 3.0)
    # Noise is the same on both sides: what is left of it is what differs by template, 1 or 2.
    assert steered["less_than_none"] == pytest.approx(1.5)
    templates = np.array([2.0 if t % 2 else 1.0 for t in TEMPLATES])
    left = [np.delete(templates, t).mean() for t in TEMPLATES]
    half = stats.t.ppf(0.975, 4) * np.sqrt(5 * np.var(left))
    assert steered["less_than_none_ci_low"] == pytest.approx(1.5 - half)
    assert steered["less_than_none_ci_high"] == pytest.approx(1.5 + half)
    assert steered["less_than_none_p"] == pytest.approx(2 * stats.t.sf(1.5 / np.sqrt(5 * np.var(left)), 4))
    # The best prompt takes a half off.
    assert steered["less_than_prompt"] == pytest.approx(1.0)
    assert row(table, "begged")["less_than_prompt"] == pytest.approx(-0.25)
    assert np.isnan(row(table, "asked")["less_than_prompt"])
    assert np.isnan(row(summary(NONE, STEERED), "steered", 3.0)["less_than_prompt"])


def test_only_what_is_chosen_is_corrected_by_holm(table: pd.DataFrame) -> None:
    rows = table[(table["split"] == "evaluation") & table["less_than_none_p_corrected"].notna()]
    assert rows[["mitigation", "strength"]].apply(tuple, axis=1).tolist() == [
        ("steered", 1.0), ("steered", 3.0), ("asked", 0.0), ("begged", 0.0),
    ]  # fmt: skip
    # All take twice as much in odd templates as in even ones, so that p is one; the least of four equals is times 4.
    assert rows["less_than_none_p_corrected"].to_numpy() == pytest.approx(np.minimum(1, 4 * rows["less_than_none_p"]))
    assert row(table, "steered", 1.5)["less_than_none_p"] < 1


def test_a_strength_that_was_found_for_two_costs_is_one_test() -> None:
    twice = measured("twice", "tuning", {(1.0, 1, 1.0): 0.5, (1.0, 3, 1.0): 0.5})
    both = twice, record("twice", "tuning", {"1": (1.0, 1, 1.0), "3": (1.0, 3, 1.0)})
    found = summary(NONE, both, ASKED).query("split == 'evaluation' and chosen == 'yes'")
    assert found["mitigation"].tolist() == ["twice", "twice", "asked"]
    assert found["less_than_none_p_corrected"].to_numpy() == pytest.approx(np.minimum(1, 2 * found["less_than_none_p"]))


def test_use_is_that_of_forms_that_the_model_answers(table: pd.DataFrame) -> None:
    none, steered = row(table, "none"), row(table, "steered", 3.0)
    # Of one 5, of two 4 of 5 right; the bad form has one right answer, and is no use.
    assert (none["use"], none["use_base"], none["use_kept"], none["n_use"]) == pytest.approx((0.9, 0.9, 1, 10))
    assert (steered["use"], steered["use_kept"]) == pytest.approx((0.7, 0.7 / 0.9))
    assert 0 <= steered["use_ci_low"] < 0.7 < steered["use_ci_high"] <= 1
    assert set(table["use_measured"]) == {"yes"}


def test_a_use_that_the_model_does_not_make_is_told_and_marked() -> None:
    def bad(part: tuple[pd.DataFrame, dict[str, Any]]) -> tuple[pd.DataFrame, dict[str, Any]]:
        return part[0][part[0]["template_id"].ne("one") & part[0]["template_id"].ne("two")], part[1]

    found = row(summary(bad(NONE), bad(STEERED)), "steered", 3.0)
    assert (found["use_measured"], found["n_use"], found["use"], found["use_base"]) == ("no", 5, 0.0, 0.2)

    def deaf(part: tuple[pd.DataFrame, dict[str, Any]]) -> tuple[pd.DataFrame, dict[str, Any]]:
        return part[0][part[0]["measure"] == LEAK], part[1]

    without = row(summary(deaf(NONE), deaf(STEERED)), "steered", 3.0)
    assert (without["use_measured"], without["n_use"]) == ("no", 0)
    assert np.isnan(without["use"])
    assert without["leak"] == row(summary(NONE, STEERED), "steered", 3.0)["leak"]


def test_exact_leaks_are_means_of_those_of_the_law() -> None:
    exact = NONE[0][NONE[0]["measure"] == LEAK].assign(measure=EXACT, value=1.25)
    organism = pd.concat([NONE[0], exact], ignore_index=True), NONE[1]
    found = summary(organism, STEERED)
    assert row(found, "none")["leak_exact"] == 1.25
    assert np.isnan(row(found, "steered", 3.0)["leak_exact"])
    assert row(found, "none")["n_prompts"] == 30


def test_an_empty_mitigation_and_none_at_all_give_no_rows() -> None:
    empty = NONE[0].iloc[:0], record("empty", "features", {"1": None, "3": None})
    assert set(summary(NONE, empty)["mitigation"]) == {"none"}
    assert list(summary()) == MITIGATION_COLUMNS


# ------------------------------------------------------------------------------------------------------------- texts


def units_of(match: float, model: str = "m") -> pd.DataFrame:
    rows = [
        (model, f"{split}/{t}", f"{split}/{t}", g, 1, match + noise(t, g))
        for split in SPLITS
        for t in TEMPLATES
        for g in GROUPS
    ]
    table = pd.DataFrame(rows, columns=["model", "template_id", "cluster", "concept_group", "n_prompts", "match"])
    return table.assign(match=table["match"].where(~table["template_id"].str.startswith("selection"), 0.0))


def texts_of(text: str) -> pd.DataFrame:
    ids = [f"{split}/{t}/{g}" for split in SPLITS for t in TEMPLATES for g in GROUPS]
    texts = [text if name.startswith("evaluation") else "what nobody asks for" for name in ids]
    return pd.DataFrame({"prompt_id": ids, "text": texts})


def test_texts_of_a_mitigated_model_stand_beside_those_of_its_base() -> None:
    written = Written(
        {("m", "s"): units_of(0.8), ("calm", "s"): units_of(0.6)},
        {("m", "s"): texts_of("a b c a b c"), ("calm", "s"): texts_of("")},
        {("m", "s", "steered", "3"): "calm"},
    )
    found = summary(*ALL, written=written)
    none, steered = row(found, "none"), row(found, "steered", 3.0)
    shift = 100 * np.mean([noise(t, g) for t in TEMPLATES for g in GROUPS])
    assert (none["match"], none["length"], none["empty"], none["repeated"]) == pytest.approx((80 + shift, 6, 0, 100))
    assert (steered["match"], steered["length"], steered["empty"]) == pytest.approx((60 + shift, 0, 100))
    assert steered["match_ci_low"] < steered["match"] < steered["match_ci_high"]
    others = found[found["match"].isna()]
    assert len(others) == len(found) - 2
    assert others[["length", "empty", "repeated"]].isna().all(axis=None)


def test_a_text_repeats_itself_with_three_words_in_a_row() -> None:
    assert repeats_itself(["the", "cat", "the", "cat", "the", "cat"])
    assert not repeats_itself(["the", "cat", "and", "the", "cat"])
    assert not repeats_itself([])
    prompts = pd.DataFrame({"prompt_id": ["p"], "template_id": ["t"], "concept_group": ["g"]})
    nothing = measure_texts(units_of(0.5), texts_of("x"), prompts, 0.95)
    assert np.isnan(nothing).all()


# ----------------------------------------------------------------------------------------------------------- p-values


def test_p_is_that_of_the_interval_that_ends_at_nothing() -> None:
    values, deletions = np.array([3.0, 2.5, 3.1, 3.4]), leave_out([0, 1, 2])
    p = t_test(values, deletions)
    interval = t_interval(values, deletions, 1 - p)
    assert interval.low == pytest.approx(0, abs=1e-9)
    assert t_test(-values, deletions) == pytest.approx(p)
    assert np.isnan(t_test(np.ones(4), deletions))
