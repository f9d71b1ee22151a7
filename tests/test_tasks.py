"""Items of a task, from the files of data sets as their authors distribute them."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.files.tables import read_table
from leakscope.statistics.seeding import seeded_hash
from leakscope.validate.tasks.items import DISTANCES, ITEM_COLUMNS, item_table
from leakscope.validate.tasks.readers import PAIR_COLUMNS, READERS, read_items

PAIRS = "noun1,noun2,taxonomic\nrobins,bird,Yes\nrobins,tool,NO\nsaws,tool,yes\n"
TRIVIA = [
    ("q1", "Which planet is largest?", "Jupiter", ["Jupiter (planet)", "The JOVE!"]),
    ("q2", "Who wrote Emma?", "Jane Austen", ["Austen"]),
    ("q3", "Which giant planet has a red spot?", "Jove", ["the Jupiter"]),
]
PASSAGES = [
    "the cook lit the stove and then the cook washed a pan",
    "she found a pan and put it on the stove",
    "he went to the harbour to look for a boat",
]


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def refusal(path: Path, reader: str) -> str:
    with pytest.raises(InputError) as caught:
        read_items(path, reader, 0)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "got" in message
    assert "allowed" in message
    return message


def swords() -> dict[str, Any]:
    context = "A bank\n\t near the  bank"
    return {
        "contexts": {"c:1": {"context": context}},
        "targets": {"t:1": {"context_id": "c:1", "target": "bank", "offset": context.rindex("bank"), "pos": "NOUN"}},
        "substitutes": {
            name: {"target_id": "t:1", "substitute": word}
            for name, word in (("s:1", "shore"), ("s:2", "edge"), ("s:3", "lender"), ("s:4", "side"))
        },
        "substitute_labels": {
            "s:1": ["TRUE", "TRUE", "FALSE"],
            "s:2": ["TRUE", "FALSE"],
            "s:3": ["FALSE", "UNSURE"],
            "s:4": ["TRUE_IMPLICIT"],
        },
        "substitutes_lemmatized": True,
    }


def trivia(folder: Path, rows: list[tuple[str, str, str, list[str]]]) -> Path:
    data = [
        {"QuestionId": name, "Question": question, "Answer": {"Value": value, "Aliases": aliases}}
        for name, question, value, aliases in rows
    ]
    return write(folder / "trivia.json", json.dumps({"Data": data, "Version": 1.0}))


# ---- pairs and items


def test_pairs_become_items_and_labels_are_read_in_any_case(tmp_path: Path) -> None:
    items = read_items(write(tmp_path / "p.csv", PAIRS), "pairs", 0)
    assert list(items) == ITEM_COLUMNS
    assert items["item_id"].tolist() == ["robins/bird", "robins/tool", "saws/tool"]
    assert items["positive"].tolist() == [True, False, True]
    assert items["cluster"].tolist() == ["robins", "robins", "saws"]
    assert set(items["distance"]) == {"none"}


def test_items_that_are_written_come_back(tmp_path: Path, root: Path) -> None:
    items = read_items(root / "data/validate/hypernymy/items.csv", "pairs", 0)
    items.to_csv(tmp_path / "i.csv", index=False)
    pd.testing.assert_frame_equal(read_items(tmp_path / "i.csv", "items", 0), items)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("noun1,noun2\na,b\n", ["column 'taxonomic'"]),
        (PAIRS + "saws,bird,maybe\n", ["item 4", "'maybe'", "yes"]),
        (PAIRS + ",bird,no\n", ["item 4", "'question'"]),
        (PAIRS + "Robins,bird,no\n", ["item 4", "again"]),
        ("noun1,noun2,taxonomic\na,b,yes\n", ["no negative"]),
        ("noun1,noun2,taxonomic\na,b,no\n", ["no positive"]),
        ("noun1,noun2,taxonomic,distance\na,b,yes,\na,c,no,fra\n", ["'fra'", "far"]),
        (
            "sentid,sentence\na.b.0.male.txt,He sings.\n",
            ["got sentences of Winogender, and no column 'noun1'; allowed: a"],
        ),
        ("noun1,noun2,taxonomic,distance\na,b,yes,1\na,c,no,2\n", ["got the number 1", "none, near, far", "a rank"]),
        ("noun1,noun2,taxonomic,distance\na,b,yes,far\na,c,no,far\n", ["of a positive"]),
    ],
)
def test_a_wrong_pair_is_one_line(tmp_path: Path, content: str, parts: list[str]) -> None:
    message = refusal(write(tmp_path / "p.csv", content), "pairs")
    for part in parts:
        assert part in message


def test_an_unknown_reader_names_those_that_there_are(tmp_path: Path) -> None:
    message = refusal(write(tmp_path / "p.csv", PAIRS), "sword")
    assert "Did you mean 'swords'?" in message
    assert all(name in message for name in READERS)


def test_an_item_needs_a_cluster() -> None:
    item = {"item_id": "i", "question": "q", "candidate": "c", "positive": True, "cluster": " ", "distance": "none"}
    with pytest.raises(InputError, match="here, item 1: column 'cluster'"):
        item_table([item], "here")


def test_a_hash_keeps_its_parts_apart() -> None:
    assert seeded_hash(0, "a", "b") == seeded_hash(0, "a", "b")
    assert (
        len({seeded_hash(0, "a", "b"), seeded_hash(1, "a", "b"), seeded_hash(0, "ab"), seeded_hash(0, "b", "a")}) == 4
    )


# ---- SWORDS


@pytest.mark.parametrize("zipped", [False, True])
def test_swords_marks_the_target_at_its_offset_alone(tmp_path: Path, zipped: bool) -> None:
    data = json.dumps(swords()).encode()
    path = tmp_path / ("s.json.gz" if zipped else "s.json")
    path.write_bytes(gzip.compress(data) if zipped else data)
    items = read_items(path, "swords", 0)
    assert set(items["question"]) == {"A bank near the [[bank]]"}
    assert set(items["cluster"]) == {"c:1"}
    assert items["positive"].tolist() == [True, False, False, True]
    assert items["distance"].tolist() == ["none", "near", "far", "none"]


def test_a_context_with_a_mark_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = swords()
    content["contexts"]["c:2"] = {"context": "[[1]] bank"}
    content["targets"]["t:2"] = {"context_id": "c:2", "target": "bank", "offset": 6}
    content["substitutes"]["s:5"] = {"target_id": "t:2", "substitute": "shore"}
    content["substitute_labels"]["s:5"] = ["TRUE"]
    items = read_items(write(tmp_path / "s.json", json.dumps(content)), "swords", 0)
    assert "s:5" not in set(items["item_id"])
    assert "skips 1 of 2 targets" in caplog.text


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda c: c.pop("substitute_labels"), ["'substitute_labels'"]),
        (lambda c: c["targets"]["t:1"].update(offset=3), ["'t:1'", "offset", "3"]),
        (lambda c: c["targets"]["t:1"].update(context_id="c:9"), ["'c:9'"]),
        (lambda c: c["substitutes"]["s:1"].update(target_id="t:9"), ["'t:9'"]),
        (lambda c: c["substitute_labels"].pop("s:1"), ["'s:1'"]),
        (lambda c: c["substitute_labels"].update({"s:1": []}), ["'s:1'", "at least one"]),
        (lambda c: c["substitute_labels"].update({"s:1": ["true"]}), ["'true'", "TRUE"]),
        (lambda c: c["substitutes"]["s:1"].pop("substitute"), ["'s:1'", "'substitute'"]),
    ],
)
def test_another_form_than_that_of_swords_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], parts: list[str]
) -> None:
    content = swords()
    change(content)
    message = refusal(write(tmp_path / "s.json", json.dumps(content)), "swords")
    for part in parts:
        assert part in message


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json.gz").write_bytes(gzip.compress(b"{}" * 100)[:-12])
    assert "gzip" in refusal(tmp_path / "s.json.gz", "swords")
    assert "JSON list" in refusal(write(tmp_path / "s.json", "[]"), "swords")
    assert "invalid JSON" in refusal(write(tmp_path / "t.json", "{"), "swords")


# ---- LAMBADA


def test_lambada_negatives_are_near_in_the_passage_and_far_outside(tmp_path: Path) -> None:
    items = read_items(write(tmp_path / "l.txt", "\n".join(PASSAGES) + "\n"), "lambada", 0)
    first = items[items["question"] == PASSAGES[0].rsplit(maxsplit=1)[0]].set_index("distance")["candidate"]
    assert first.to_dict() == {"none": "pan", "near": "stove", "far": "boat"}
    third = items[items["candidate"].eq("boat") & items["positive"]]["cluster"].item()
    of_third = items[items["cluster"] == third]
    assert of_third["distance"].tolist() == ["none", "far"]
    for item in items.itertuples():
        held = item.candidate in item.question.split()
        assert held == (item.distance == "near") or item.positive


def test_lambada_is_read_from_jsonl_alike(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": passage}) + "\n" for passage in PASSAGES)
    plain = read_items(write(tmp_path / "l.txt", "\n".join(PASSAGES)), "lambada", 3)
    pd.testing.assert_frame_equal(read_items(write(tmp_path / "l.jsonl", lines), "lambada", 3), plain)


def test_wrong_words_do_not_depend_on_the_order_of_passages(tmp_path: Path) -> None:
    plain = read_items(write(tmp_path / "l.txt", "\n".join(PASSAGES)), "lambada", 1)
    turned = read_items(write(tmp_path / "m.txt", "\n".join(reversed(PASSAGES))), "lambada", 1)
    pd.testing.assert_frame_equal(*(t.sort_values("item_id", ignore_index=True) for t in (plain, turned)))


def test_lambada_needs_passages_of_two_words(tmp_path: Path) -> None:
    assert "passage 2" in refusal(write(tmp_path / "l.txt", "a b\nc\n"), "lambada")
    assert "no passage" in refusal(write(tmp_path / "l.txt", "\n"), "lambada")
    assert "no negative" in refusal(write(tmp_path / "l.txt", "one passage\n"), "lambada")
    assert "'.doc'" in refusal(write(tmp_path / "l.doc", "a b"), "lambada")


# ---- TriviaQA


@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_answer_is_no_alias_of_the_right_one(tmp_path: Path, seed: int) -> None:
    items = read_items(trivia(tmp_path, TRIVIA), "triviaqa", seed)
    wrong = items[~items["positive"]].set_index("cluster")["candidate"].to_dict()
    assert wrong["q1"] == wrong["q3"] == "Jane Austen"
    assert wrong["q2"] in ("Jupiter", "Jove")
    assert items[items["positive"]]["candidate"].tolist() == [value for _, _, value, _ in TRIVIA]
    assert set(items["distance"]) == {"none", "far"}


def test_triviaqa_is_read_from_jsonl_and_a_question_once(tmp_path: Path) -> None:
    lines = [
        {"question_id": name, "question": question, "answer": {"value": value, "aliases": aliases}}
        for name, question, value, aliases in [*TRIVIA, ("q9", *TRIVIA[0][1:])]
    ]
    path = write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, lines)))
    pd.testing.assert_frame_equal(read_items(path, "triviaqa", 0), read_items(trivia(tmp_path, TRIVIA), "triviaqa", 0))


def test_another_form_than_that_of_triviaqa_is_refused(tmp_path: Path) -> None:
    assert "'Data'" in refusal(write(tmp_path / "t.json", "{}"), "triviaqa")
    assert "question 1: key 'Answer'" in refusal(
        write(tmp_path / "t.json", '{"Data": [{"Question": "q", "QuestionId": "1"}]}'), "triviaqa"
    )
    assert "no negative" in refusal(trivia(tmp_path, [TRIVIA[0], TRIVIA[2]]), "triviaqa")


# ---- the shipped task


def test_shipped_hypernymy_has_a_near_and_a_far_negative_for_every_hyponym(root: Path) -> None:
    path = root / "data/validate/hypernymy/items.csv"
    items = read_items(path, "pairs", 0)
    positives = items[items["positive"]]
    assert len(positives) >= 120
    assert positives["candidate"].nunique() >= 15
    assert positives["question"].is_unique
    for _, own in items.groupby("question"):
        assert sorted(own["distance"]) == ["far", "near", "none"]
    # Every hypernym is right and wrong for several hyponyms: the candidate alone does not give the label away.
    counts = items.groupby("candidate")["positive"].agg(["sum", "size"])
    assert (counts["sum"] >= 6).all()
    assert ((counts["size"] - counts["sum"]) >= 6).all()


def test_the_schema_says_what_is_read(root: Path) -> None:
    schema = json.loads((root / "schemas/task_items.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert [form["required"] for form in schema["anyOf"]] == [ITEM_COLUMNS, list(PAIR_COLUMNS)]
    assert schema["properties"]["distance"]["enum"] == [*DISTANCES, ""]
    assert all("description" in described for described in schema["properties"].values())
    rows = read_table(root / "data/validate/hypernymy/items.csv").to_dict("records")
    for row in random.Random(0).sample(rows, 40):
        jsonschema.validate(row, schema)
