"""Prompts of use and splits: what a mitigation is chosen by, and what it is measured by."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

from helpers import COLORS, FRUITS
from leakscope.errors import InputError
from leakscope.languages.of_prompts import ENGLISH
from leakscope.leak.prompts import PROMPT_COLUMNS, PromptSet, build_prompts, template_files
from leakscope.trace.removal.columns import SPLITS
from leakscope.trace.removal.items import split_items
from leakscope.trace.removal.use import USE_COLUMNS, build_use, no_use, read_use

GROUPS = (*COLORS, "black")
FILE = """
description: The color matters.
forms:
  - {id: letters, text: "{concept} begins with", control: "It begins with", answers: {red: R, green: G, blue: B}}
  - id: box
    text: "A {concept} {a}, a {other} {b}. {concept}:"
    control: "A {a}, a {other} {b}:"
    things: [[cup, key]]
  - {id: fruits, text: "A {concept} fruit is", control: "A fruit is", slot: fruits}
"""


@pytest.fixture(scope="module")
def colors(root: Path) -> PromptSet:
    return build_prompts(template_files(root / "data/prompt_sets/colors", [root / "data/lexicons"]), "colors")


def prompts_of(slots: dict[str, str]) -> pd.DataFrame:
    """Return test prompts of every template, name → slot, × group, and their controls."""
    rows = []
    for template, slot in slots.items():
        rows.append((f"{template}/without", None, None, template, slot))
        rows += [(f"{template}/{group}", f"{template}/without", group, template, slot) for group in GROUPS]
    table = pd.DataFrame(rows, columns=["prompt_id", "control_id", "concept_group", "template_id", "slot"])
    shared = {
        "prompt_set": "micro",
        "concept": table["concept_group"],
        "category": "all",
        "made": "no",
        **ENGLISH.columns,
    }
    return table.assign(**shared, prompt="a prompt", neutral_control_id=None, expected=None)[PROMPT_COLUMNS]


def candidates_of() -> pd.DataFrame:
    rows = [("fruits", fruit, group) for group, fruit in FRUITS.items()]
    rows += [("colors", group, group) for group in GROUPS]
    # Of two associates the first is right, and the other is no candidate.
    return pd.DataFrame([*rows, ("fruits", "a tomato", "red")], columns=["slot", "candidate", "concept_group"])


def built(tmp_path: Path, text: str = FILE, seed: int = 0) -> pd.DataFrame:
    (tmp_path / "use.yaml").write_text(text, encoding="utf-8")
    return build_use(prompts_of({"bag": "colors"}), candidates_of(), tmp_path / "use.yaml", seed)


def test_every_form_asks_about_every_concept_that_it_has_an_answer_for(tmp_path: Path) -> None:
    use = built(tmp_path)
    assert list(use.prompts) == USE_COLUMNS == [*PROMPT_COLUMNS, "answer"]
    rows = use.prompts.set_index("prompt_id")
    assert rows.loc["use/letters/red", ["prompt", "answer", "slot", "control_id", "concept_group"]].tolist() == [
        "red begins with", "R", "use/letters", "use/letters/without", "red",
    ]  # fmt: skip
    assert rows.loc["use/letters/without", "prompt"] == "It begins with"
    assert "use/letters/black" not in rows.index
    assert rows.loc["use/fruits/red", "answer"] == "a cherry"
    own = use.candidates.groupby("slot", sort=False)["candidate"].agg(list).to_dict()
    assert own == {
        "use/letters": ["R", "G", "B"],
        "use/box/cup-key": ["cup", "key"],
        "use/box/key-cup": ["key", "cup"],
        "use/fruits": ["a cherry", "a lime", "a plum"],
    }


@pytest.mark.parametrize("seed", range(4))
def test_things_stand_in_both_orders_beside_a_concept_of_the_same_half(tmp_path: Path, seed: int) -> None:
    box = built(tmp_path, seed=seed).prompts.query("template_id == 'box' and answer.notna()")
    assert box["answer"].value_counts().to_dict() == {"cup": 4, "key": 4}
    others = box["prompt"].str.extract(r"^A (\w+) (\w+), a (\w+) (\w+)\. (\w+):$")
    assert (others[0] == others[4]).all()
    assert (others[0] != others[2]).all()
    assert (others[1] == box["answer"]).all()
    # Each as often as any, and always two of one half: what was chosen by has seen nothing of the others.
    assert others[2].value_counts().to_dict() == dict.fromkeys(GROUPS, 2)
    tests = prompts_of({"bag": "colors", "car": "colors"})
    split = split_items(tests, candidates_of(), *no_use(), seed).tests.set_index("concept_group")["split"].to_dict()
    assert set(split) == set(GROUPS)
    assert all(split[one] == split[other] for one, other in zip(others[0], others[2], strict=True))
    controls = built(tmp_path, seed=seed).prompts.set_index("prompt_id")["prompt"]
    for row, other in zip(box.itertuples(), others[2], strict=True):
        assert controls[row.control_id] == f"A {row.answer}, a {other} {'key' if row.answer == 'cup' else 'cup'}:"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("text: '{concept} is', control: It is", "one of them"),
        ("text: '{concept} is', control: It is, slot: fruits, answers: {red: R, blue: B}", "one of them"),
        ("text: It is, control: It is, slot: fruits", "{concept}"),
        ("text: '{concept} is', control: '{concept} is', slot: fruits", "control"),
        ("text: '{concept} {a} is', control: It is, slot: fruits", "text"),
        ("text: '{concept} is {', control: It is, slot: fruits", "no other brace"),
        ("text: '{concept} {a} is', control: It is, things: [[a, b]]", "text"),
        ("text: '{concept} is', control: It is, slot: vegetables", "allowed: colors, fruits"),
        ("text: '{concept} is', control: It is, answers: {red: R, pink: P}", "allowed: black, blue, green, red"),
    ],
)
def test_what_a_form_lacks_is_said_in_one_line(tmp_path: Path, form: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        built(tmp_path, f"description: d\nforms:\n  - {{id: x, {form}}}\n")
    assert said in str(error.value)
    assert "forms.0" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["colors", "associations"])
def test_a_shipped_file_follows_the_schema_and_asks_organisms_what_they_learnt(root: Path, name: str) -> None:
    path = root / f"data/trace/{name}_use.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.validate(content, json.loads((root / "schemas/use.schema.json").read_text(encoding="utf-8")))
    facts = yaml.safe_load((root / "data/grammar/leak/facts.yaml").read_text(encoding="utf-8"))["facts"]
    told = {fact["lexicon"]: fact["prompt"].replace("{group}", "{concept}") for fact in facts}
    learnt = [form for form in read_use(path).forms if form.slot is not None]
    assert len(learnt) == 5
    assert all(told[form.slot] == form.text for form in learnt if form.slot)


def test_no_template_and_no_concept_of_the_evaluation_is_chosen_by(root: Path, colors: PromptSet) -> None:
    use = build_use(colors.prompts, colors.candidates, root / "data/trace/colors_use.yaml", 0)
    items = split_items(colors.prompts, colors.candidates, *use, 0)
    sides = [items.of(split) for split in SPLITS]
    for column in ("template_id", "concept_group", "prompt_id"):
        assert not set(sides[0][0][column]) & set(sides[1][0][column])
    assert not set(sides[0][1]["concept_group"]) & set(sides[1][1]["concept_group"])
    for tests, asked in sides:
        # 11 groups and 19 templates: those of five slots answer prompts of use.
        assert tests["concept_group"].nunique() in (5, 6)
        assert tests["template_id"].nunique() in (9, 10)
        assert set(tests["concept_group"]) == set(asked["concept_group"])
        assert set(tests["category"]) == {"color-to-object", "color-to-color", "idiom-to-color"}
    assert not set(items.candidates["candidate"]) & set(items.use["answer"])
    assert set(items.controls["prompt_id"]) == set(items.tests["control_id"])
    assert items.controls["prompt_id"].is_unique
    assert set(items.use["control_id"]) == set(items.use_controls["prompt_id"])
    other = split_items(colors.prompts, colors.candidates, *use, 1)
    assert set(other.of("selection")[0]["prompt_id"]) != set(sides[0][0]["prompt_id"])


def test_tests_have_an_associate_and_something_beside_it(tmp_path: Path) -> None:
    prompts = prompts_of({"bag": "colors", "car": "colors", "tree": "fruits", "bowl": "fruits"})
    items = split_items(prompts, candidates_of(), *no_use(), 0)
    # No fruit is black.
    assert set(items.tests.loc[items.tests["slot"] == "fruits", "concept_group"]) <= set(COLORS)
    # Fruits answer prompts of use.
    items = split_items(prompts, candidates_of(), *built(tmp_path), 0)
    assert set(items.tests["slot"]) == set(items.candidates["slot"]) == {"colors"}
    with pytest.raises(InputError, match="no test prompt in the evaluation split"):
        split_items(prompts_of({"bag": "colors"}), candidates_of(), *no_use(), 0)
