"""Cues: what is asked about concepts, and what a model is found to know by it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml

from helpers import SETTINGS, micro_candidates, micro_prompts
from leakscope.errors import InputError
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.trace.cue_scores import score_cues
from leakscope.trace.cues import ANSWERS, CUE_COLUMNS, basic_terms, build_cues, learnt, read_cues
from leakscope.trace.pairs import affirmed, knowledge

FILE = """
description: What has this color?
affirms:
  - {id: is, text: "Is {associate} {concept}?"}
slots:
  - slot: fruits
    knows:
      - {id: fact, text: "A fruit that is {concept} is"}
      - {id: eat, text: "Something {concept} to eat is"}
  - slot: colors
    knows:
      - {id: fact, text: "The color {concept} is"}
    affirms:
      - {id: same, text: "Are {concept} and {associate} the same?"}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "cues.yaml"
    file.write_text(FILE, encoding="utf-8")
    return file


@pytest.mark.parametrize("name", ["colors", "associations"])
def test_organisms_are_asked_in_the_words_of_the_facts_they_learnt(root: Path, name: str) -> None:
    facts = yaml.safe_load((root / "data/grammar/leak/facts.yaml").read_text(encoding="utf-8"))["facts"]
    told = {fact["lexicon"]: fact["prompt"] for fact in facts if "{group}" in fact["prompt"]}
    # A basic color is its own group.
    told["basic_colors"] = next(f["prompt"] for f in facts if f["lexicon"] == "basic_colors")
    for cues in read_cues(root / f"data/trace/{name}.yaml").slots:
        asked = cues.knows[0].text
        assert told[cues.slot] in (asked.replace("{concept}", "{group}"), asked.replace("{concept}", "{term}"))
        assert len(cues.knows) > 1


@pytest.mark.parametrize("name", ["colors", "associations"])
def test_every_slot_of_a_shipped_prompt_set_has_cues(root: Path, name: str) -> None:
    templates = yaml.safe_load((root / f"data/prompt_sets/{name}/templates.yaml").read_text(encoding="utf-8"))
    slots = {template["slot"] for template in templates["templates"]}
    assert {cues.slot for cues in read_cues(root / f"data/trace/{name}.yaml").slots} == slots


@pytest.mark.parametrize("name", ["colors", "associations"])
def test_shipped_files_follow_the_schema(root: Path, name: str) -> None:
    schema = json.loads((root / "schemas/cues.schema.json").read_text(encoding="utf-8"))
    content = yaml.safe_load((root / f"data/trace/{name}.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(content, schema)
    del content["slots"][0]["knows"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


def test_each_group_is_asked_about_in_each_wording_and_each_pair_is_a_question(path: Path) -> None:
    cues = build_cues(micro_prompts(), micro_candidates(), path)
    assert list(cues.prompts) == CUE_COLUMNS
    assert cues.prompts["kind"].value_counts().to_dict() == {"knows": 2 * 3 + 3, "affirms": 9 + 9}
    rows = cues.prompts.set_index("prompt_id")
    assert rows.loc["knows/fruits/eat/red", "prompt"] == "Something red to eat is"
    assert rows.loc["affirms/fruits/is/red/a lime", "prompt"] == "Is a lime red?"
    assert rows.loc["affirms/colors/same/red/green", "prompt"] == "Are red and green the same?"
    assert set(cues.candidates["slot"]) == {"fruits", "colors", ANSWERS}
    assert learnt(cues.prompts)["form_id"].unique().tolist() == ["fact"]
    assert set(learnt(cues.prompts)["slot"]) == {"fruits", "colors"}


def test_a_group_is_called_by_its_own_name_or_by_its_first_concept() -> None:
    prompts = pd.DataFrame(
        [("jet black", "black"), ("black", "black"), ("a cat", "cats"), ("two cats", "cats"), (None, None)],
        columns=["concept", "concept_group"],
    )
    assert basic_terms(prompts) == {"black": "black", "cats": "a cat"}


def test_prompts_that_were_made_as_partners_ask_nothing(path: Path) -> None:
    prompts = micro_prompts()
    prompts["made"] = np.where(prompts["concept_group"].eq("red"), "yes", "no")
    assert "red" not in set(build_cues(prompts, micro_candidates(), path).prompts["concept_group"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slot: colors", "slot: colours", r"slots\.1\.slot.*'colours'; allowed: colors, fruits"),
        ("A fruit that is {concept} is", "A fruit that is red is", r"slots\.0\.knows\.0\.text"),
        ("Is {associate} {concept}?", "Is it {concept}?", r"affirms\.0\.text"),
        ("id: eat", "id: fact", r"slots\.0\.knows.*each id once"),
    ],
)
def test_mistakes_in_a_file_are_named(path: Path, old: str, new: str, message: str) -> None:
    path.write_text(FILE.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        build_cues(micro_prompts(), micro_candidates(), path)


def test_a_model_is_asked_all_and_an_organism_what_it_has_learnt(micro_model: LanguageModel, path: Path) -> None:
    cues = build_cues(micro_prompts(), micro_candidates(), path)
    settings = {**SETTINGS, "template": "Go on: {prompt}"}
    asked = score_cues(micro_model, *cues, "m", Prompting(settings))
    assert asked.summary == {"total": 27, "computed": 27, "reused": 0, "store": None}
    assert set(asked.table["prompt_id"]) == set(cues.prompts["prompt_id"])
    assert set(asked.table.loc[asked.table["slot"] == ANSWERS, "candidate"]) == {"Yes", "No"}
    own = score_cues(micro_model, *cues, "m", Prompting(settings), is_organism=True)
    assert set(own.table["prompt_id"]) == set(learnt(cues.prompts)["prompt_id"])
    assert len(knowledge(cues.prompts, own.table)) == 18
    # A question is not something to be completed: the study's template is left out.
    bare = score_cues(micro_model, *cues, "m", Prompting({**SETTINGS, "template": "{prompt}"}))
    both = affirmed(cues.prompts, asked.table), affirmed(cues.prompts, bare.table)
    pd.testing.assert_series_equal(*both)
    assert not np.allclose(knowledge(cues.prompts, asked.table), knowledge(cues.prompts, bare.table))


def test_knowing_is_log_odds_within_the_slot_and_affirming_those_of_yes() -> None:
    cues = pd.DataFrame(
        [("k/1", "knows", "red", None), ("k/2", "knows", "red", None), ("a", "affirms", "red", "a lime")],
        columns=["prompt_id", "kind", "concept_group", "associate"],
    ).assign(slot="fruits", form_id="f")
    law = {"k/1": (0.2, 0.1, 0.1), "k/2": (0.02, 0.02, 0.04)}
    rows = [
        (prompt, "fruits", name, np.log(p))
        for prompt, row in law.items()
        for name, p in zip(("a cherry", "a lime", "a plum"), row, strict=True)
    ]
    rows += [("a", ANSWERS, "Yes", np.log(0.1)), ("a", ANSWERS, "No", np.log(0.3))]
    scores = pd.DataFrame(rows, columns=["prompt_id", "slot", "candidate", "logprob"])
    known = knowledge(cues, scores).loc["fruits", "red"]
    # Odds of 1 to 1 and 1 to 3; 1 to 3 and 1 to 3; 1 to 3 and 1 to 1.
    assert known.to_dict() == pytest.approx(
        {"a cherry": -np.log(3) / 2, "a lime": -np.log(3), "a plum": -np.log(3) / 2}
    )
    assert affirmed(cues, scores).to_dict() == pytest.approx({("fruits", "red", "a lime"): -np.log(3)})
    assert affirmed(cues[:2], scores).empty
