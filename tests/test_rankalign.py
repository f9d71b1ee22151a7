"""Items in RankAlign's forms of public data sets, on made-up rows; a reader finds out itself which form a file has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.validate.tasks.readers import read_items


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def passage(context: str, word: str, correct: str) -> dict[str, Any]:
    return {"context": context, "final_word": word, "correct": correct}


def asked(items: pd.DataFrame) -> list[tuple[str, str, bool, str]]:
    return list(items[["question", "candidate", "positive", "distance"]].itertuples(index=False, name=None))


def test_pairs_without_a_header_have_labels_and_similar_wrong_ones_are_near(tmp_path: Path) -> None:
    path = tmp_path / "ranks.txt"
    path.write_text("robins\tbird\tyes\thigh\t0\tYes\t Yes\nrobins\ttool\tno\tlow\t3\tNo\t No\nsaws\tbird\tno\thigh\n")
    items = read_items(path, "pairs", 0)
    assert asked(items) == [
        ("robins", "bird", True, "none"), ("robins", "tool", False, "far"), ("saws", "bird", False, "near")
    ]  # fmt: skip
    assert items["item_id"].tolist() == ["robins/bird", "robins/tool", "saws/bird"]
    assert items["cluster"].tolist() == ["robins", "robins", "saws"]


def test_ranked_substitutes_are_right_where_more_than_half_accept_them(tmp_path: Path) -> None:
    entry = {
        "context": "A mountebank  banked\nat the bank, a bank (old).",
        "target": "bank",
        "substitutes": [["lender", 60], ["shop", 50], ["side", 0.5], ["tree", 0], ["Lender", 70]],
    }
    path = tmp_path / "swords.json"
    path.write_text(json.dumps([entry]))
    items = read_items(path, "swords", 0)
    # Not within other words, and at both places else: the file does not say which one is meant.
    marked = "A mountebank banked at the [[bank]], a [[bank]] (old)."
    assert asked(items) == [
        (marked, "lender", True, "none"), (marked, "shop", False, "near"), (marked, "side", False, "near"),
        (marked, "tree", False, "far"),
    ]  # fmt: skip
    assert items["cluster"].nunique() == 1


def test_an_entry_whose_word_stands_nowhere_alone_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = {"context": "a bank", "target": "bank", "substitutes": [["shore", 90], ["edge", 0]]}
    path = tmp_path / "swords.json"
    path.write_text(json.dumps([good, {**good, "context": "banks"}, {**good, "context": "[[a]] bank"}]))
    assert len(read_items(path, "swords", 0)) == 2
    assert "skips 2 of 3 entries" in caplog.text


def test_passages_with_a_word_and_its_label_are_read_and_no_wrong_word_is_drawn(tmp_path: Path) -> None:
    path = lines(tmp_path / "l.jsonl", passage("We sat by the ", "fire", "Yes"), passage("We sat by the", "fi", "No"))
    items = read_items(path, "lambada", 0)
    assert asked(items) == [("We sat by the", "fire", True, "none"), ("We sat by the", "fi", False, "none")]
    assert items["cluster"].nunique() == 1


def test_questions_with_an_answer_and_its_label_are_read_by_their_first_answer(tmp_path: Path) -> None:
    right = {"question": "Who wrote Emma?", "answers": ["Jane Austen", "Austen"], "correct": "Yes"}
    path = lines(tmp_path / "t.jsonl", right, {**right, "answers": ["Mary Shelley"], "correct": "No"})
    assert asked(read_items(path, "triviaqa", 0)) == [
        ("Who wrote Emma?", "Jane Austen", True, "none"), ("Who wrote Emma?", "Mary Shelley", False, "none")
    ]  # fmt: skip


def test_a_pair_is_read_once_and_not_at_all_where_it_is_both_right_and_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        ("a", "x", "Yes"),
        ("a", "X", "Yes"),
        ("a", "y", "No"),
        ("b", "z", "Yes"),
        ("b", "z", "No"),
        ("b", "", "No"),
    ]
    path = lines(tmp_path / "l.jsonl", *(passage(*row) for row in rows))
    assert asked(read_items(path, "lambada", 0)) == [("a", "x", True, "none"), ("a", "y", False, "none")]
    assert "skips 1 item: without a question or a candidate" in caplog.text
    assert "skips 1 item: the same candidate of the same question is labelled both right and wrong" in caplog.text


RIGHT = passage("a", "x", "Yes")
ENTRY = {"context": "a bank", "target": "bank", "substitutes": [["shore", 90], ["edge", 0]]}


@pytest.mark.parametrize(
    ("name", "reader", "text", "parts"),
    [
        ("r.txt", "pairs", "a\tb\tyes\n", ["line 1: got 3 fields", "tabs"]),
        ("r.txt", "pairs", "a\tb\tyes\thigh\na\tc\tno\tmiddle\n", ["line 2: field 4", "'middle'", "high"]),
        ("r.txt", "pairs", "a\tb\tmaybe\thigh\n", ["line 1: field 3", "'maybe'"]),
        ("r.txt", "pairs", "a\tb\tyes\thigh\n", ["no negative"]),
        ("s.json", "swords", json.dumps([ENTRY, {**ENTRY, "target": 3}]), ["entry 2", "'target'", "3"]),
        ("s.json", "swords", json.dumps([{**ENTRY, "substitutes": [["shore"]]}]), ["entry 1", "[word, percent]"]),
        ("s.json", "swords", json.dumps([{**ENTRY, "substitutes": [["a", 101]]}]), ["entry 1", "101"]),
        ("s.json", "swords", json.dumps([{**ENTRY, "substitutes": None}]), ["entry 1", "None"]),
        ("l.jsonl", "lambada", f"{json.dumps(RIGHT)}\n{{}}\n", ["line 2", "'final_word'"]),
        ("l.jsonl", "lambada", json.dumps({**RIGHT, "correct": "?"}), ["line 1", "'correct'", "'?'"]),
        ("t.jsonl", "triviaqa", '{"question": "q", "answers": "a", "correct": "No"}', ["line 1", "'answers'", "list"]),
    ],
)
def test_a_file_that_begins_in_their_form_and_leaves_it_is_one_line(
    tmp_path: Path, name: str, reader: str, text: str, parts: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_items(path, reader, 0)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for part in ("got", "allowed", *parts):
        assert part in message
