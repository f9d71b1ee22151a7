"""Clauses put before the sentences of a table: the prompts and controls that this makes, and its mistakes."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.languages.of_prompts import Languages
from leakscope.leak.insertions import insert_clauses
from leakscope.leak.pairs import tests_by_unit as by_unit
from leakscope.leak.prompts import PROMPT_COLUMNS
from leakscope.workflow.brought import look_into
from leakscope.workflow.more_texts import more_texts
from leakscope.workflow.study import Study

CLAUSES = """\
description: Feelings.
clauses:
  - {clause: "He laughs.", concept: joy, group: joy}
  - {clause: "Such joy!", concept: joy, group: joy}
  - {clause: "She weeps.", concept: sadness, group: sadness}
neutral: ["It is noon."]
"""
SENTENCES = "id,category,text\nsoup,food,The soup is\nsky,,The sky was \n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "clauses.yaml").write_text(CLAUSES)
    (tmp_path / "sentences.csv").write_text(SENTENCES)
    return tmp_path / "sentences.csv", tmp_path / "clauses.yaml"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def refused(files: tuple[Path, Path]) -> list[str]:
    with pytest.raises(InputError) as caught:
        insert_clauses(*files, "mine")
    return str(caught.value).splitlines()


def test_every_sentence_stands_alone_and_after_every_clause(files: tuple[Path, Path]) -> None:
    prompts = insert_clauses(*files, "mine")
    assert list(prompts) == PROMPT_COLUMNS
    of_soup = prompts[prompts["template_id"] == "soup"]
    assert dict(zip(of_soup["prompt_id"], of_soup["prompt"], strict=True)) == {
        "soup/without": "The soup is",
        "soup/neutral": "It is noon. The soup is",
        "soup/joy": "He laughs. The soup is",
        "soup/joy-2": "Such joy! The soup is",
        "soup/sadness": "She weeps. The soup is",
    }
    tests = prompts[prompts["concept"].notna()]
    assert tests["concept"].tolist() == ["joy", "joy", "sadness"] * 2
    assert tests["control_id"].tolist() == ["soup/without"] * 3 + ["sky/without"] * 3
    assert tests["neutral_control_id"].tolist() == ["soup/neutral"] * 3 + ["sky/neutral"] * 3
    assert prompts["category"].fillna("-").tolist() == ["food"] * 5 + ["-"] * 5
    assert prompts["prompt"].iloc[-1] == "She weeps. The sky was"


def test_tests_of_a_sentence_are_a_unit(files: tuple[Path, Path]) -> None:
    units = by_unit(insert_clauses(*files, "mine"))
    assert units.groupby("unit", sort=False)["concept"].agg(list).to_dict() == {
        "The soup is": ["joy", "joy", "sadness"],
        "The sky was": ["joy", "joy", "sadness"],
    }
    assert units["cluster"].tolist() == ["soup"] * 3 + ["sky"] * 3


def test_a_neutral_clause_depends_on_its_sentence_alone(files: tuple[Path, Path]) -> None:
    table, clauses = files
    change(clauses, '["It is noon."]', '["It is noon.", "He reads.", "A bus stops."]')

    def neutral() -> pd.Series:
        prompts = insert_clauses(table, clauses, "mine").set_index("prompt_id")["prompt"]
        return prompts[[name for name in prompts.index if name.endswith("/neutral")]]

    table.write_text("text\n" + "".join(f"Sentence {number} is\n" for number in range(40)))
    first = neutral()
    assert len({text.partition(". ")[0] for text in first}) == 3
    table.write_text("text\n" + "".join(f"Sentence {number} is\n" for number in reversed(range(40))))
    assert set(neutral()) == set(first)


def test_mistakes_of_a_table_are_named_in_a_line_each(files: tuple[Path, Path]) -> None:
    table, _ = files
    table.write_text("id,category,text\nsoup,food,\nsky,all,The sky was\nsoup,food,A soup\nsea,,The sea\nsea,,A sea\n")
    assert refused(files) == [
        f"{table}, row 2: prompt: got ''; allowed: text that is not empty.",
        f"{table}, row 3: category: got 'all'; allowed: a name other than all.",
        f"{table}, row 6: prompt_id: got 'sea', which row 5 has already; allowed: each id once.",
    ]
    table.write_text("id,words\nsoup,The soup is\n")
    (line,) = refused(files)
    assert line == f"{table}: got the columns prompt_id, words; allowed: a table that has prompt, or text."
    table.write_text("text\nThe soup is\nThe soup is\n")
    (line,) = refused(files)
    assert line.startswith(f"{table}: got the prompt 'The soup is' twice ('0/without' and '1/without')")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"He laughs."', '"Laughing"', "clauses.0.clause: got 'Laughing'; allowed: a sentence of its own"),
        ('"Such joy!"', '"He laughs."', "clauses.1.clause: got 'He laughs.' again; allowed: each clause once."),
        (
            "joy, group: joy}",
            "joy, group: other}",
            "clauses.1.group: got 'joy'; allowed: other, the group of joy in an earlier clause.",
        ),
        ('["It is noon."]', "[]", "neutral: got []; allowed: a list of a sentence of its own"),
        ("concept: sadness, ", "", "clauses.2.concept: got nothing"),
    ],
)
def test_mistakes_of_clauses_are_named_in_a_line(files: tuple[Path, Path], old: str, new: str, said: str) -> None:
    _, clauses = files
    change(clauses, old, new)
    (line,) = refused(files)
    assert line.startswith(f"{clauses}: {said}")


def test_the_shipped_clauses_are_as_their_schema_says(root: Path) -> None:
    folder = root / "data/prompt_sets/feelings"
    schema = yaml.safe_load((root / "schemas/clauses.schema.json").read_text())
    jsonschema.validate(yaml.safe_load((folder / "clauses.yaml").read_text()), schema)
    prompts = insert_clauses(folder / "sentences.csv", folder / "clauses.yaml", "feelings")
    assert prompts["concept"].value_counts().to_dict() == dict.fromkeys(["joy", "anger", "sadness", "fear"], 36)
    named = prompts.dropna(subset="concept")
    assert all(concept in prompt for concept, prompt in zip(named["concept"], named["prompt"], strict=True))


def test_a_study_knows_how_many_prompts_are_made(root: Path, files: tuple[Path, Path]) -> None:
    table, clauses = files
    chosen = {"name": "mine", "models": ["organism-s-l0"], "prompt_sets": ["mine"], "scorers": ["lexical"]}
    entry = {"source": "insertions", "path": str(table), "clauses": str(clauses), "samples": 2, "control_samples": 4}
    config = {"study": chosen, "prompt_sets": {"mine": entry}}
    study = Study(resolve(shipped(root), config))
    assert (study.inserted, study.tabulated, study.templated) == (["mine"], [], [])
    assert study.n_prompts == {"mine": 10}
    assert look_into(study) == []
    # Two texts more after two of ten prompts with two: 4 / 20.
    (line,) = more_texts(study)
    assert "20 % more texts" in line
    change(table, "The soup is", "")
    with pytest.raises(InputError, match=r"row 2: prompt: got ''"):
        look_into(study)
    entry["clauses"] = "missing.yaml"
    with pytest.raises(InputError, match=r"mine.clauses: got .*missing.yaml.*; allowed: a file that exists"):
        resolve(shipped(root), config)


def test_where_words_have_no_space_between_them_clauses_have_none(files: tuple[Path, Path]) -> None:
    prompts = insert_clauses(*files, "mine", languages=Languages("zh", "zh"))["prompt"]
    assert {"He laughs.The soup is", "It is noon.The soup is", "The soup is"} <= set(prompts)
