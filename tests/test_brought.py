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


def found_in(root: Path, **changes: Any) -> list[str]:
    """Return where each mistake is, in the order in which they are named."""
    with pytest.raises(InputError) as caught:
        look_into(study(root, **changes))
    return [line.split(": got")[0] for line in str(caught.value).splitlines()]


def test_of_texts_the_first_rows_are_looked_at(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = "".join(f"t,{number},x\n" for number in range(ROWS_LOOKED_AT))
    Path("texts.csv").write_text(f"prompt_id,sample,text\n{many}t,first,x\n")
    look_into(study(root))
    Path("texts.csv").write_text(f"prompt_id,sample,text\nt,first,x\n{many}")
    assert found_in(root) == ["texts.csv, row 2: sample"]
    monkeypatch.setattr("leakscope.files.tables.BEGINNING", 200)
    assert found_in(root) == ["texts.csv, row 2: sample"]


def test_a_large_list_in_json_is_left_to_its_job(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt_id": "t", "sample": "first", "text": "a cherry"}]
    Path("texts.json").write_text(json.dumps(rows))
    changes: dict[str, Any] = {"models": {"theirs": {"source": "generations", "path": "texts.json"}}}
    assert found_in(root, **changes) == ["texts.json, row 1: sample"]
    monkeypatch.setattr("leakscope.files.tables.BEGINNING", 20)
    assert look_into(study(root, **changes)) == []


def counted(**files: str) -> dict[str, Any]:
    """Return a study of the step ground whose counts and scores are imported."""
    for name, text in files.items():
        Path(name.replace("_", ".")).write_text(text)
    return {
        "study": {"models": ["read"], "steps": ["ground"]},
        "models": {"read": {"source": "scores", "path": {"skin": "scores.json"}}},
        "ground": {
            "axes": {
                "skin": {
                    "counts": {"source": "table", "path": "counts.csv", "window": 10},
                    "prevalence": {"path": "rates.csv", "source": "a survey"},
                }
            }
        },
    }


def test_counts_scores_and_prevalence_are_looked_at(folder: Path, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    scores: dict[str, Any] = {"flu": [["dark", [-1]], ["light", [-2]]]}
    counts, rates = "subject,group,count\nflu,dark,1\nflu,light,2\n", "subject,dark,light\nflu,1,2\n"
    files = {"scores_json": json.dumps(scores), "counts_csv": counts, "rates_csv": rates}
    assert look_into(study(root, **counted(**files))) == []
    # Fewer templates than are used, and other groups: both are allowed, and the job says so.
    assert caplog.text == ""
    wrong = {"flu": [["dark", ["-1"]], ["light", []]], "gout": {}}
    files |= {
        "scores_json": json.dumps(wrong),
        "counts_csv": counts.replace("1", "one").replace("2", "-2"),
        "rates_csv": rates.replace("2", "many"),
    }
    assert found_in(root, **counted(**files)) == [
        "counts.csv, row 2: column 'count'",
        "counts.csv, row 3: column 'count'",
        "rates.csv, row 2: group 'light'",
        "scores.json: subject 'flu', group 'dark'",
        "scores.json: subject 'flu', group 'light'",
        "scores.json: subject 'gout'",
    ]
    files["counts_csv"] = "disease,number\nflu,1\n"
    found = found_in(root, **counted(**files))
    # Both columns that are lacking, and once each.
    assert found[0] == "counts.csv"
    assert len(found) == 6


def test_items_and_scores_of_items_are_looked_at(folder: Path, root: Path) -> None:
    Path("pairs.csv").write_text("noun1,noun2,taxonomic\nlark,bird,yes\nlark,tool,maybe\n")
    Path("forms.yaml").write_text((root / "data/validate/forms/hypernymy.yaml").read_text())
    columns = "noun1,noun2,taxonomic,generator-log-prob,discriminator-log-prob\n"
    Path("scores.csv").write_text(f"{columns}lark,bird,yes,-1,-1\nlark,tool,no,1,log\n")
    entry = {"noun1": 1, "noun2": "bird", "taxonomic": "yes", "generator-log-prob": -1, "discriminator-log-prob": -1}
    Path("scores.json").write_text(json.dumps([entry, {"noun1": "lark"}]))
    changes = {
        "study": {"models": ["qwen2.5-0.5b", "a", "b"], "steps": ["validate"]},
        "models": {
            "a": {"source": "scores", "path": {"one": "scores.csv"}},
            "b": {"source": "scores", "path": {"two": "scores.json"}},
        },
        "validate": {"tasks": {"mine": {"path": "pairs.csv", "reader": "pairs", "forms": "forms.yaml"}}},
    }
    assert found_in(root, **changes) == [
        "pairs.csv, item 2: column 'taxonomic'",
        "scores.csv, item 2: key 'generator-log-prob'",
        "scores.csv, item 2: key 'discriminator-log-prob'",
        "scores.json, item 1: key 'noun1'",
        "scores.json, item 2",
    ]


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("corpus.jsonl", '{"text": "A lark."}\n{"body": "A lark."}', "corpus.jsonl, line 2"),
        ("corpus.csv", "body\nA lark.\n", "corpus.csv: column"),
        ("corpus.txt", "\n \n", "corpus.txt"),
    ],
)
def test_corpora_and_benchmarks_of_features_are_looked_at(
    folder: Path, root: Path, name: str, content: str, where: str
) -> None:
    Path(name).write_text(content)
    Path("crows.csv").write_text("sent_more,sent_less\na,b\n")
    dictionary = {"source": "trained", "model": "qwen2.5-0.5b", "layer": 1, "corpus": "mine"}
    changes = {
        "study": {"models": ["qwen2.5-0.5b"], "steps": ["features"]},
        "features": {
            "dictionaries": {"d": dictionary},
            "corpora": {"mine": {"path": name, "text": "text"}},
            "benchmarks": {"crows": {"format": "crows_pairs", "path": "crows.csv"}},
        },
    }
    assert found_in(root, **changes) == [where, "crows.csv"]


def test_an_instruction_that_prompts_and_template_both_give_is_a_warning(folder: Path, root: Path) -> None:
    Path("prompts.csv").write_text(PROMPTS.replace("I ate", "Complete the sentence: I ate", 1))
    (warning,) = look_into(study(root, study={"models": ["theirs", "qwen2.5-0.5b"]}))
    said = "1 prompt begins with 'Complete the sentence:', which generation.template says, too."
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
    Path("scores.json").write_text('{"flu": [["dark", [-1]]]}')
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
