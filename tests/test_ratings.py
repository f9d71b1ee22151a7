"""What people, judges and scorers said of a sample: read, counted by hand, and every mistake in one line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.leak.rating.answers import (
    ANSWER_COLUMNS,
    JUDGE,
    PERSON,
    SCORER,
    by_similarity,
    majority,
    of_rater,
    outcomes,
)
from leakscope.leak.rating.items import ITEM_COLUMNS
from leakscope.leak.rating.page import sheet
from leakscope.leak.rating.ratings import read_ratings
from leakscope.leak.rating.summary import agreement_table, rating_table
from leakscope.statistics.intervals import cluster_interval

IDS = [f"i{number:011x}" for number in range(1, 9)]


def sample(model: str = "m", ids: list[str] = IDS, prompt_set: str = "colors") -> pd.DataFrame:
    """Return items of two templates in one category, the first of twice the weight."""
    n = len(ids)
    rows = {
        "item_id": ids, "model": model, "prompt_set": prompt_set, "category": "things",
        "unit": [f"unit {place * 4 // n}" for place in range(n)],
        "cluster": [f"t{place * 4 // n}" for place in range(n)],
        "concept_1": "red", "concept_2": "blue", "group_1": "red", "group_2": "blue",
        "text_1": "a poppy", "text_2": "the sea", "weight": [2 / (n + 1), *[1 / (n + 1)] * (n - 1)],
    }  # fmt: skip
    return pd.DataFrame(rows)[ITEM_COLUMNS]


def answered(kind: str, rater: str, said: dict[str, float], ids: list[str] = IDS) -> pd.DataFrame:
    """Return answers that are right (1), wrong (0) or none (½), every other one in another order."""
    rows = []
    for place, (item, outcome) in enumerate(zip(ids, said, strict=False)):
        order, concept_order = ("12", "21")[place % 2], ("12", "21")[place // 2 % 2]
        right = order == concept_order
        answer = {1.0: "first" if right else "second", 0.0: "second" if right else "first", 0.5: "cannot_tell"}[outcome]
        rows.append((item, order, concept_order, answer))
    table = pd.DataFrame(rows, columns=["item_id", "order", "concept_order", "answer"])
    return of_rater(table, kind, rater)


def write(path: Path, *rows: str, header: str = "item_id,order,concept_order,answer,rater") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


# Answers.


def test_first_is_right_where_both_orders_are_the_same() -> None:
    rows = [
        ("12", "12", "first", 1), ("12", "12", "second", 0), ("21", "12", "first", 0), ("21", "12", "second", 1),
        ("12", "21", "second", 1), ("21", "21", "first", 1),
        ("21", "21", "cannot_tell", 0.5), ("12", "12", "unparsable", 0.5),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["order", "concept_order", "answer", "outcome"])
    assert outcomes(table).tolist() == table["outcome"].tolist()


def test_the_majority_is_what_more_say_and_nobody_is_on_the_side_of_who_cannot_tell() -> None:
    a, b, c = ([1, 1, 0, 1, 0.5], [1, 0, 0, 0.5, 0.5], [0, 0.5, 0, 0.5, 0.5])
    found = majority(pd.concat([answered(PERSON, name, said) for name, said in zip("abc", (a, b, c), strict=True)]))
    assert found["outcome"].tolist() == [1, 0.5, 0, 1, 0.5]
    assert list(found) == ANSWER_COLUMNS


def test_an_empty_text_ties_and_a_missing_similarity_is_said() -> None:
    items = sample(ids=IDS[:2])
    items.loc[1, "text_2"] = " "
    pairs = [("red", "a poppy", 0.9), ("red", "the sea", 0.2), ("blue", "a poppy", 0.4), ("blue", "the sea", 0.3)]
    similarity = pd.DataFrame(pairs, columns=["concept", "text", "similarity"])
    # (.9 − .4) + (.3 − .2) = .6
    assert by_similarity(items, similarity, "s", 3)["outcome"].tolist() == [1, 0.5]
    assert by_similarity(items, similarity.assign(similarity=1.0), "s", 3)["outcome"].tolist() == [0.5, 0.5]
    with pytest.raises(InputError, match="similarity by s: got none for concept 'blue' and text 'the sea'; allowed"):
        by_similarity(items, similarity[:3], "s", 3)


# Rates.


def test_rates_are_weighted_means_with_the_interval_of_clusters() -> None:
    outcome = [1, 0, 1, 1, 0.5, 1, 0, 1]
    rates = rating_table(sample(), answered(PERSON, "rater-1", outcome), 0.95)
    (row,) = rates.to_dict("records")
    assert (row["model"], row["prompt_set"], row["kind"], row["rater"]) == ("m", "colors", "person", "rater-1")
    assert (row["n_items"], row["n_answers"], row["n_clusters"]) == (8, 8, 4)
    assert row["match_rate"] == pytest.approx(100 * (2 + 1 + 1 + 0.5 + 1 + 1) / 9)
    # An item of twice the weight counts as two.
    twice = cluster_interval([100, *np.multiply(outcome, 100)], [0, 0, 0, 1, 1, 2, 2, 3, 3], 0.95)
    assert row["match_rate"] == pytest.approx(twice.mean)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((twice.low, twice.high), abs=1e-5)
    assert row["undecided_rate"] == 12.5
    assert np.isnan(row["unparsable_rate"])


def test_who_always_takes_the_first_text_has_a_rate_of_chance_and_a_bias_of_fifty() -> None:
    items = sample()
    asked = pd.DataFrame([(i, order, "12", "first") for i in IDS for order in ("12", "21")])
    asked.columns = ["item_id", "order", "concept_order", "answer"]
    asked.loc[[0, 5], "answer"] = "cannot_tell", "unparsable"
    row = rating_table(items, of_rater(asked, JUDGE, "first"), 0.95).iloc[0]
    # 15 others: of the first item wrong and undecided, of the third right and unparsable.
    assert row["match_rate"] == pytest.approx(100 * (2 * 0.25 + 0.5 + 0.75 + 5 * 0.5) / 9)
    assert (row["undecided_rate"], row["unparsable_rate"]) == (100 / 16, 100 / 16)
    assert (row["first_bias"], row["first_bias_ci_high"]) == (50, 50)
    # Of eight items that do not differ: .025 ^ (1/8).
    assert row["first_bias_ci_low"] == pytest.approx(100 * 0.025**0.125 - 50, abs=1e-5)
    assert (row["n_items"], row["n_answers"]) == (8, 16)


def test_a_fair_rater_has_no_bias_and_a_scorer_sees_no_order() -> None:
    people = answered(PERSON, "rater-1", [1] * 8)
    scorer = people.assign(kind=SCORER, rater="s", order=None, concept_order=None)
    rates = rating_table(sample(), pd.concat([scorer, people]), 0.95)
    assert rates["kind"].tolist() == ["person", "scorer"]
    assert rates["first_bias"].tolist()[0] == 0
    assert rates.loc[0, "first_bias_ci_low"] < 0 < rates.loc[0, "first_bias_ci_high"]
    assert rates[["first_bias", "first_bias_ci_low", "first_bias_ci_high"]].iloc[1].isna().all()


def test_several_models_are_pooled_and_a_rater_may_have_answered_a_part() -> None:
    others = [name.replace("i0", "if") for name in IDS]
    items = pd.concat([sample(), sample("n", others)], ignore_index=True)
    first, second = answered(PERSON, "rater-1", [1] * 8), answered(PERSON, "rater-1", [0] * 2, others)
    rates = rating_table(items, pd.concat([first, second]), 0.95).set_index("model")
    assert rates["match_rate"].to_dict() == {"m": 100, "n": 0, "all": pytest.approx(100 * 9 / 12)}
    assert rates["n_items"].to_dict() == {"m": 8, "n": 2, "all": 10}
    # Templates are the same, whichever model wrote.
    assert rates.loc["all", "n_clusters"] == 4


# Agreement.


def test_agreement_is_counted_among_those_who_decided() -> None:
    one, other = [1, 1, 0, 1, 0.5, 0, 1, 0], [1, 0, 0, 1, 1, 0.5, 1, 0]
    answers = pd.concat([answered(JUDGE, "j", one), answered(SCORER, "s", other)])
    (row,) = agreement_table(sample(), answers, 0.95).to_dict("records")
    assert [row[name] for name in ("kind_a", "rater_a", "kind_b", "rater_b")] == ["judge", "j", "scorer", "s"]
    assert (row["n_items"], row["n_decided"]) == (8, 6)
    assert row["agreement"] == pytest.approx(100 * 5 / 6)
    # Per template: one of two, both, none decided, both.
    expected = cluster_interval([100, 0, 100, 100, 100, 100], [0, 0, 1, 1, 3, 3], 0.95)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected.low, expected.high), abs=1e-5)


def test_raters_who_are_always_right_agree_and_chance_has_an_alpha_of_none() -> None:
    ids = [f"i{number:011x}" for number in range(400)]
    rng = np.random.default_rng(0)
    items = sample(ids=ids).assign(cluster=[f"t{number // 4}" for number in range(400)])
    right = [answered(PERSON, f"rater-{number}", [1] * 400, ids) for number in (1, 2)]
    coins = [answered(SCORER, name, rng.integers(2, size=400).tolist(), ids) for name in ("coin", "other coin")]
    table = agreement_table(items, pd.concat([*right, *coins]), 0.95).set_index(["rater_a", "rater_b"])
    # All people together, and each two.
    for pair in (("any", "any"), ("rater-1", "rater-2")):
        assert table.loc[pair, ["agreement", "alpha"]].tolist() == [100, 1]
    chance = table.loc[("coin", "other coin")]
    assert chance["alpha_ci_low"] < 0 < chance["alpha_ci_high"]
    assert abs(chance["agreement"] - 50) < 8
    assert chance["alpha"] == pytest.approx(2 * chance["agreement"] / 100 - 1, abs=0.03)


def test_of_all_people_an_item_has_the_share_of_pairs_who_say_the_same() -> None:
    said = [[1, 1, 1], [1, 0, 0.5], [0, 0, np.nan]]
    parts = []
    for number, outcome in enumerate(said, 1):
        known = [place for place, value in enumerate(outcome) if not np.isnan(value)]
        parts.append(answered(PERSON, f"rater-{number}", [outcome[i] for i in known], [IDS[i] for i in known]))
    people = pd.concat(parts)
    table = agreement_table(sample(ids=IDS[:3]), pd.concat([majority(people), people]), 0.95)
    row = table[table["rater_a"] == "any"].iloc[0]
    # Of three pairs one; of three none; the third has one who decided.
    assert (row["n_items"], row["n_decided"]) == (3, 2)
    assert row["agreement"] == pytest.approx(100 * (1 / 3 + 1 / 3) / 2)
    # Nobody is compared with a majority that it is part of.
    assert not (table["kind_a"] == "people").any()


# Files.


def test_files_of_the_page_and_of_the_sheet_are_read_and_names_stay_there(tmp_path: Path) -> None:
    items = sample()
    page = write(tmp_path / "anna.csv", f"{IDS[0]},12,21,second,Anna B.", f"{IDS[1]},21,21,cannot_tell,Anna B.")
    more = write(tmp_path / "more.csv", f"{IDS[2]},12,12,first,anna b. ", f"{IDS[0]},12,12,second,Ben")
    filled = sheet(items).assign(answer=["1", "Can't tell", "", "", "", "", "", ""])
    filled.to_csv(tmp_path / "sheet.csv", index=False)
    found = read_ratings([page, more, tmp_path / "sheet.csv"], items)
    assert found.lines == []
    by_rater = {rater: rows.set_index("item_id")["outcome"].to_dict() for rater, rows in found.answers.groupby("rater")}
    orders = [filled.loc[0, name] for name in ("first_concept", "first_text")]
    right = float(orders in (["red", "a poppy"], ["blue", "the sea"]))
    assert by_rater == {
        "rater-1": {IDS[0]: 1, IDS[1]: 0.5, IDS[2]: 1},
        "rater-2": {IDS[0]: 0},
        "rater-3": {IDS[0]: right, IDS[1]: 0.5},
    }
    assert set(found.answers["kind"]) == {"person"}


def test_the_sheet_does_not_say_which_is_whose_or_who_wrote() -> None:
    ids = [f"i{number:011x}" for number in range(200)]
    table = sheet(sample("secret-model", ids))
    assert list(table) == ["item_id", "first_concept", "second_concept", "first_text", "second_text", "answer"]
    assert "secret-model" not in table.to_csv()
    right = (table["first_concept"] == "red") == (table["first_text"] == "a poppy")
    assert 70 < right.sum() < 130
    assert 70 < (table["first_concept"] == "red").sum() < 130


def test_answers_to_an_older_sample_are_counted_and_left_out(tmp_path: Path) -> None:
    rows = [f"{name},12,12,first,A" for name in (*IDS[:3], "ifffffffffff")]
    found = read_ratings([write(tmp_path / "a.csv", *rows)], sample())
    assert found.answers["item_id"].tolist() == IDS[:3]
    assert found.lines == [f"{tmp_path}/a.csv: 3 of 4 answers are used; the others are to items of an older sample."]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["i9,12,12,first,Anna"], "a.csv, row 2: got the item 'i9'; allowed: an item_id of the sample."),
        ([f"{IDS[0]},12,12,left,Anna"], "a.csv, row 2: got the answer 'left'; allowed: first, second, cannot_tell"),
        ([f"{IDS[0]},12,11,first,Anna"], "a.csv, row 2: got '11' as concept_order; allowed: 12 or 21."),
        (
            [f"{IDS[0]},12,12,first,Anna", f"{IDS[1]},12,12,first,Anna", f"{IDS[0]},21,12,first,ANNA"],
            f"a.csv, row 4: got item {IDS[0]}, which rater-1 answered in ",
        ),
        (["ifffffffffff,12,12,first,Anna"], "a.csv: got 1 answer, none to an item of this sample; allowed"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_nobody(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_ratings([write(tmp_path / "a.csv", *rows)], sample())
    assert "\n" not in str(caught.value)
    assert "anna" not in str(caught.value).casefold()


def test_all_mistakes_of_all_files_come_at_once(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "i9,12,12,first,A", f"{IDS[0]},12,12,left,A")
    second = write(tmp_path / "b.csv", f"{IDS[0]},first", header="item_id,says")
    with pytest.raises(InputError) as caught:
        read_ratings([first, second], sample())
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "b.csv: got the columns item_id, says; allowed: a table that has item_id, answer and" in lines[2]


def test_nobody_answered() -> None:
    people = read_ratings([], sample()).answers
    assert list(people) == ANSWER_COLUMNS
    assert people.empty
    assert majority(people).empty
    assert rating_table(sample(), pd.concat([majority(people), people]), 0.95).empty
    assert agreement_table(sample(), people, 0.95).empty
