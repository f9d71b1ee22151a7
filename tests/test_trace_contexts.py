"""Contexts of pairs: what is found is what was counted, and the same whatever the order of documents."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from leakscope.counting.cooccurrence import by_window, count_documents
from leakscope.counting.infini_gram import Excerpts
from leakscope.counting.mentions import Terms
from leakscope.errors import InputError
from leakscope.trace.contexts import associated_pairs, contexts_in_excerpts, find_contexts, read_named_terms

CONCEPTS = {"red": ["red", "crimson"], "blue": ["blue"]}
ASSOCIATES = {"a poppy": ["a poppy", "poppy"], "the sea": ["the sea", "sea"]}
PAIRS = [("red", "a poppy"), ("blue", "the sea")]
TEXTS = [
    "Her hat was RED. She picked a poppy, and left.",
    "A blue boat on the sea. A poppy is crimson; the sea is not red.",
    "Nothing here.",
    "poppy " + "far " * 60 + "red",
    *(f"Number {n} is a red poppy." for n in range(40)),
]


def found(texts: list[str] = TEXTS, *, window: int | None = 10, most: int = 3) -> pd.DataFrame:
    return find_contexts(texts, CONCEPTS, ASSOCIATES, PAIRS, window=window, most=most)


def joined(row: pd.Series) -> str:
    return "".join(row[["before", "first", "between", "second", "after"]])


def test_both_words_are_marked_as_they_stand_in_the_text() -> None:
    table = found(TEXTS[:1])
    (row,) = (row for _, row in table.iterrows())
    assert joined(row) == TEXTS[0]
    assert (row["first"], row["second"], row["concept_first"], row["distance"]) == ("RED", "a poppy", "yes", 3)


def test_what_is_found_is_what_is_counted() -> None:
    terms = Terms({"c": CONCEPTS, "a": ASSOCIATES}, {"axis": ("c", "a")})
    counts = count_documents(TEXTS, terms)
    for window in (0, 1, 3, 10, None):
        counted = by_window(counts.pairs, [window], terms.sides())
        counted = counted.set_index(["subject", "group"])["mentions"].to_dict()
        table = found(window=window).groupby(["concept_group", "associate"])["n_found"].first().to_dict()
        assert table == {pair: counted[pair] for pair in PAIRS if counted[pair]}, window


def test_the_order_of_documents_changes_nothing_and_equal_places_count_once() -> None:
    table = found()
    again = found([*TEXTS[::-1], TEXTS[-1].upper()])
    shown = ["concept_group", "rank", "distance"]
    pd.testing.assert_frame_equal(table[shown], again[shown])
    assert [joined(row).lower() for _, row in table.iterrows()] == [joined(row).lower() for _, row in again.iterrows()]
    assert (again["n_found"].iloc[0], table["n_found"].iloc[0]) == (44, 43)
    assert found([TEXTS[0]] * 5)["n_found"].tolist() == [5]


def test_no_more_are_kept_than_asked_for() -> None:
    assert found(most=3).groupby("concept_group").size().to_dict() == {"blue": 1, "red": 3}
    assert found(most=2)["rank"].tolist() == [1, 2, 1]


def test_of_pairs_in_one_text_the_nearest_is_marked() -> None:
    (row,) = (row for _, row in found(["poppy and far off a poppy on red"]).iterrows())
    assert (row["before"], row["first"], row["distance"], row["n_found"]) == ("poppy and far off ", "a poppy", 2, 2)


def test_far_mentions_are_cut_in_the_middle_and_only_near_ones_are_found() -> None:
    assert found(TEXTS[3:4], window=60).empty
    (row,) = (row for _, row in found(TEXTS[3:4], window=None).iterrows())
    assert row["between"] == f" {'far ' * 15}… {'far ' * 15}"
    assert row["distance"] == 61


def test_a_word_that_is_both_is_no_pair_with_itself() -> None:
    table = find_contexts(["a red door", "red, and red"], {"red": ["red"]}, {"red": ["red"]}, [("red", "red")],
                          window=5, most=9)  # fmt: skip
    assert [joined(row) for _, row in table.iterrows()] == ["red, and red"]


def test_scripts_without_spaces_are_marked_by_character() -> None:
    table = find_contexts(["赤いポピー"], {"red": ["赤"]}, {"poppy": ["ポピー"]}, [("red", "poppy")], window=5, most=1)
    assert table[["first", "between", "second"]].iloc[0].tolist() == ["赤", "い", "ポピー"]


def test_without_a_context_there_is_no_row_but_every_column() -> None:
    table = found(["Nothing."])
    assert table.empty
    assert {"before", "second", "concept_first"} <= set(table)


@pytest.mark.parametrize(("window", "most"), [(-1, 3), (5, 0)])
def test_numbers_out_of_range_are_an_error(window: int, most: int) -> None:
    with pytest.raises(InputError, match="allowed: at least 0 words, at least 1 context"):
        found(window=window, most=most)


def test_a_pair_that_is_not_in_the_lexicons_is_an_error() -> None:
    with pytest.raises(InputError, match="'green', 'a poppy'"):
        find_contexts([], CONCEPTS, ASSOCIATES, [("green", "a poppy")], window=1, most=1)


def test_pairs_that_belong_together_are_those_that_have_terms(tmp_path: Path) -> None:
    lexicon = tmp_path / "a.csv"
    lexicon.write_text("id,name,variants,kind\na-poppy,a poppy,poppy|poppies,associate\n", encoding="utf-8")
    associates = read_named_terms(lexicon)
    assert associates == {"a poppy": ("a poppy", "poppy", "poppies")}
    candidates = pd.DataFrame(
        [("s", "a poppy", "red"), ("t", "a poppy", "red"), ("s", "a lime", "green"), ("s", "a poppy", "grey")],
        columns=["slot", "candidate", "concept_group"],
    )
    assert associated_pairs(candidates, {"red", "green"}, associates) == [("red", "a poppy")]


def test_contexts_of_an_index_are_of_its_own_pieces_and_count_what_it_counts() -> None:
    concepts, associates = {"red": ["red"], "blue": ["blue"]}, {"a poppy": ["poppy"], "the sea": ["sea"]}
    pieces = {
        ("red", "a poppy"): Excerpts(["a red poppy", "a red poppy", "a poppy , red . The blue sea"], 700),
        ("blue", "the sea"): Excerpts(["nothing of both"], 3),
    }
    table = contexts_in_excerpts(pieces, concepts, associates, window=5, most=5)
    assert table["n_found"].tolist() == [700, 700]
    assert set(table["concept_first"]) == {"yes", "no"}
    assert set(table["associate"]) == {"a poppy"}
    assert contexts_in_excerpts({}, concepts, associates, window=5, most=5).empty
