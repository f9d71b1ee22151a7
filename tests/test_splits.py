"""Splits: what may not be on both sides, and that they stay as they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakscope.errors import InputError
from leakscope.validate.tasks.readers import read_items
from leakscope.validate.tasks.splits import METHODS, SPLIT_COLUMNS, read_splits, split_items, write_splits


@pytest.fixture(scope="module")
def items(root: Path) -> pd.DataFrame:
    return read_items(root / "data/validate/hypernymy/items.csv", "pairs", 0)


def sides(items: pd.DataFrame, method: str, seed: int = 0, share: float = 0.3) -> tuple[pd.DataFrame, pd.DataFrame]:
    splits = split_items(items, method, share, seed)["split"].to_numpy()
    return items[splits == "train"], items[splits == "test"]


@pytest.mark.parametrize("seed", range(5))
def test_held_out_candidates_are_not_trained_on(items: pd.DataFrame, seed: int) -> None:
    train, test = sides(items, "held_out", seed)
    assert not set(train["candidate"]) & set(test["candidate"])
    assert len(train) + len(test) == len(items)
    assert test["candidate"].nunique() == round(0.3 * items["candidate"].nunique())
    assert set(train["question"]) & set(test["question"])


@pytest.mark.parametrize("seed", range(5))
def test_disjoint_splits_share_neither_question_nor_candidate(items: pd.DataFrame, seed: int) -> None:
    train, test = sides(items, "disjoint", seed)
    assert not set(train["candidate"]) & set(test["candidate"])
    assert not set(train["question"]) & set(test["question"])
    unused = items.drop([*train.index, *test.index])
    tested = {*test["question"], *test["candidate"]}
    trained = {*train["question"], *train["candidate"]}
    # What is unused would break the rule on either side, as far as its question and candidate are used at all.
    for question, candidate in zip(unused["question"], unused["candidate"], strict=True):
        assert not {question, candidate} <= tested
        assert not {question, candidate} <= trained


def test_a_random_split_has_the_share(items: pd.DataFrame) -> None:
    train, test = sides(items, "random", share=0.25)
    assert len(test) == round(0.25 * len(items))
    assert len(train) + len(test) == len(items)


@settings(max_examples=20, deadline=None)
@given(method=st.sampled_from(sorted(METHODS)), seed=st.integers(0, 10**6), state=st.integers(0, 2**32 - 1))
def test_splits_depend_on_the_seed_and_not_on_the_order_of_rows(
    items: pd.DataFrame, method: str, seed: int, state: int
) -> None:
    one = split_items(items, method, 0.3, seed)
    other = split_items(items.sample(frac=1, random_state=state), method, 0.3, seed)
    in_order = [table.sort_values("item_id", ignore_index=True) for table in (one, other)]
    pd.testing.assert_frame_equal(*in_order)
    assert list(one) == SPLIT_COLUMNS
    assert one["item_id"].tolist() == items["item_id"].tolist()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_another_seed_gives_another_split(items: pd.DataFrame, method: str) -> None:
    assert split_items(items, method, 0.3, 0)["split"].tolist() != split_items(items, method, 0.3, 1)["split"].tolist()


def test_what_is_written_comes_back_and_is_equal_bytes(items: pd.DataFrame, tmp_path: Path) -> None:
    splits = split_items(items, "disjoint", 0.3, 7)
    write_splits(splits, tmp_path / "a.csv")
    turned = items[::-1]
    write_splits(split_items(turned, "disjoint", 0.3, 7), tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert read_splits(tmp_path / "a.csv", items).tolist() == splits["split"].tolist()
    assert read_splits(tmp_path / "a.csv", turned).tolist() == splits["split"].tolist()[::-1]
    assert set(pd.read_csv(tmp_path / "a.csv")["seed"]) == {7}


def test_an_empty_side_is_refused(items: pd.DataFrame) -> None:
    few = items[items["question"].isin(["robins"])]
    with pytest.raises(InputError, match=r"splits: method 'held_out', seed 0: got no \w+ item to \w+ on, of 3 items"):
        split_items(few, "held_out", 0.3, 0)
    with pytest.raises(InputError, match="got no"):
        split_items(items[:1], "random", 0.5, 0)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_out_of_range_is_refused(items: pd.DataFrame, share: float) -> None:
    with pytest.raises(InputError, match="above 0 and below 1"):
        split_items(items, "random", share, 0)


def test_an_unknown_method_is_refused(items: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="Did you mean 'held_out'"):
        split_items(items, "heldout", 0.3, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item_id,split\nrobins/bird,train\n", "no split of item 'robins/insect'"),
        ("item_id,split\nrobins/bird,tests\n", "item 1: column 'split': got 'tests'"),
        ("item_id,split\nrobins/bird,test\nrobins/bird,train\n", "item 2: got the item_id 'robins/bird' again"),
        ("item_id\nrobins/bird\n", "no column 'split'"),
    ],
)
def test_a_wrong_file_of_splits_is_one_line(items: pd.DataFrame, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_splits(path, items)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
