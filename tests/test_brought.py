"""What users bring is looked at before any job is planned, all of it at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.workflow.brought import ROWS_LOOKED_AT, look_into
from leakscope.workflow.study import Study

PROMPTS = "prompt_id,control_id,concept,prompt\nc,,,I ate\nt,c,red,Red. I ate\n"
TEXTS = "prompt_id,sample,text\nc,0,a pear\nt,0,a cherry\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("prompts.csv").write_text(PROMPTS)
    Path("texts.csv").write_text(TEXTS)
    return tmp_path


def study(root: Path, **changes: Any) -> Study:
    config = {
        "study": {"name": "mine", "models": ["theirs"], "prompt_sets": ["mine"], "scorers": ["lexical"]},
        "models": {"theirs": {"source": "generations", "path": "texts.csv"}},
        "prompt_sets": {"mine": {"source": "table", "path": "prompts.csv"}},
    }
    return Study(resolve(shipped(root), config, changes))


def test_mistakes_of_prompts_and_texts_are_named_at_once(folder: Path, root: Path) -> None:
    assert look_into(study(root)) == []
    Path("prompts.csv").write_text(PROMPTS.replace("t,c,red", "t,d,red"))
    Path("texts.csv").write_text(TEXTS.replace("t,0", "t,first"))
    with pytest.raises(InputError) as caught:
        look_into(study(root))
    assert [line.split(": got")[0] for line in str(caught.value).splitlines()] == [
        "prompts.csv, row 3: control_id",
        "texts.csv, row 3: sample",
    ]


def test_of_texts_the_first_rows_are_looked_at_and_a_large_table_is_left_to_its_job(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = "".join(f"t,{number},x\n" for number in range(ROWS_LOOKED_AT))
    Path("texts.csv").write_text(f"prompt_id,sample,text\n{many}t,first,x\n")
    look_into(study(root))
    Path("texts.csv").write_text(TEXTS.replace("t,0", "t,first"))
    monkeypatch.setattr("leakscope.workflow.brought.LARGEST_LOOKED_AT", 10)
    look_into(study(root))


def test_an_instruction_that_prompts_and_template_both_give_is_a_warning(folder: Path, root: Path) -> None:
    Path("prompts.csv").write_text(PROMPTS.replace("I ate", "Complete the sentence: I ate", 1))
    (warning,) = look_into(study(root, study={"models": ["theirs", "qwen2.5-0.5b"]}))
    said = "1 prompts begin with 'Complete the sentence:', which generation.template says, too."
    assert warning == f"prompts.csv: {said}"


def test_the_first_texts_of_a_corpus_are_looked_at(folder: Path, root: Path) -> None:
    table = "id,name,variants,kind\n{},{},,\n"
    for name, term in (("subjects", "flu"), ("groups", "dark")):
        Path(f"{name}.csv").write_text(table.format(term, term))
    lines = [json.dumps({"text": "Flu."})] * ROWS_LOOKED_AT
    axis = {
        "lexicons": {"subjects": "subjects.csv", "groups": "groups.csv"},
        "counts": {"source": "corpus", "path": "corpus.jsonl"},
    }
    Path("scores.json").write_text("{}")
    changes = {
        "study": {"models": ["read"], "steps": ["ground"]},
        "models": {"read": {"source": "scores", "path": {"skin": "scores.json"}}},
        "ground": {"axes": {"skin": axis}},
    }
    for number, lines_there in ((1, [*lines, "{"]), (0, [*lines[1:], "{"])):
        Path("corpus.jsonl").write_text("\n".join(lines_there))
        if number:
            look_into(study(root, **changes))
        else:
            with pytest.raises(InputError, match=rf"corpus\.jsonl, line {ROWS_LOOKED_AT}: got invalid JSON"):
                look_into(study(root, **changes))
