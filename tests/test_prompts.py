from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

from leakscope.errors import InputError
from leakscope.leak.prompts import (
    CANDIDATE_COLUMNS,
    PROMPT_COLUMNS,
    TEMPLATE_KEYS,
    TEMPLATE_OPTIONS,
    TERM_KEYS,
    PromptSet,
    build_prompts,
    no_candidates,
    read_lexicon,
    template_files,
)

TEMPLATES = """\
description: Two sentences.
templates:
  - id: lamp
    category: things
    concepts: shades
    slot: fruits
    test: "The lamp is {concept}. He eats"
    control: "There is a lamp. He eats"
    neutral: "The lamp is small. He eats"
  - id: saying
    category: sayings
    concepts: sayings
    slot: shades
    test: "Then {clause}. The wall is"
    control: "Then it ended. The wall is"
    neutral: "Then she left. The wall is"
    expects_group: true
"""
SHADES = """\
description: Shades.
terms:
  - {term: red, group: red}
  - {term: Lime green, group: green}
"""
FRUITS = """\
description: Fruits.
terms:
  - {term: a cherry, group: red}
  - {term: a lime, group: green}
  - {term: a plum, group: blue}
"""
SAYINGS = """\
description: Sayings.
terms:
  - {term: red tape, group: red, clause: it was red tape}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lexicons").mkdir()
    (tmp_path / "set").mkdir()
    (tmp_path / "set/templates.yaml").write_text(TEMPLATES, encoding="utf-8")
    for name, text in (("shades", SHADES), ("fruits", FRUITS), ("sayings", SAYINGS)):
        (tmp_path / f"lexicons/{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def build(folder: Path) -> PromptSet:
    return build_prompts(template_files(folder / "set", [folder / "lexicons"]), "mine")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        build(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "got" in message
    assert "allowed" in message
    return message


def test_each_template_gives_two_controls_and_one_test_a_term(folder: Path) -> None:
    prompts = build(folder).prompts
    assert list(prompts) == PROMPT_COLUMNS
    assert prompts["prompt_id"].tolist() == [
        "lamp/without",
        "lamp/neutral",
        "lamp/red",
        "lamp/lime-green",
        "saying/without",
        "saying/neutral",
        "saying/red-tape",
    ]
    assert prompts["prompt"].tolist()[2:4] == ["The lamp is red. He eats", "The lamp is Lime green. He eats"]
    assert set(prompts["prompt_set"]) == {"mine"}


def test_a_test_names_its_controls_concept_and_group(folder: Path) -> None:
    row = build(folder).prompts.set_index("prompt_id").loc["lamp/lime-green"]
    assert row[["control_id", "neutral_control_id", "concept", "concept_group", "category", "slot"]].tolist() == [
        "lamp/without",
        "lamp/neutral",
        "Lime green",
        "green",
        "things",
        "fruits",
    ]


def test_a_control_has_neither_control_nor_concept(folder: Path) -> None:
    row = build(folder).prompts.set_index("prompt_id").loc["lamp/without"]
    assert row[["control_id", "neutral_control_id", "concept", "concept_group", "expected"]].isna().all()
    assert row["template_id"] == "lamp"


def test_the_group_is_expected_where_the_template_says_so(folder: Path) -> None:
    expected = build(folder).prompts.set_index("prompt_id")["expected"]
    assert expected["saying/red-tape"] == "red"
    assert pd.isna(expected["lamp/red"])


def test_another_key_of_the_term_fills_its_placeholder(folder: Path) -> None:
    prompts = build(folder).prompts.set_index("prompt_id")
    assert prompts.loc["saying/red-tape", "prompt"] == "Then it was red tape. The wall is"


def test_candidates_are_the_terms_of_the_slots(folder: Path) -> None:
    candidates = build(folder).candidates
    assert list(candidates) == CANDIDATE_COLUMNS
    assert candidates.to_numpy().tolist() == [
        ["fruits", "a cherry", "red"],
        ["fruits", "a lime", "green"],
        ["fruits", "a plum", "blue"],
        ["shades", "red", "red"],
        ["shades", "Lime green", "green"],
    ]


def test_columns_are_text_even_where_all_is_missing(folder: Path) -> None:
    change(folder / "set/templates.yaml", "expects_group: true", "expects_group: false")
    prompts = build(folder).prompts
    assert prompts["expected"].isna().all()
    assert set(prompts.dtypes.astype(str)) == set(no_candidates().dtypes.astype(str)) == {"str"}
    assert no_candidates().empty


def test_template_files_are_the_templates_and_every_lexicon_once(folder: Path) -> None:
    files = template_files(folder / "set", [folder / "lexicons"])
    assert [file.relative_to(folder).as_posix() for file in files] == [
        "set/templates.yaml",
        "lexicons/shades.yaml",
        "lexicons/fruits.yaml",
        "lexicons/sayings.yaml",
    ]


def test_asking_for_template_files_imports_no_pandas(root: Path) -> None:
    code = "import sys; sys.path.insert(0, 'scripts'); import leakscope.leak.prompts; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("    slot: fruits\n", "", ["templates[0]", "'lamp'", "'slot'"]),
        ("slot: fruits", "slto: fruits", ["'lamp'", "'slto'", "Did you mean 'slot'?"]),
        ("slot: fruits", "slot: fruit", ["'lamp'", "'slot'", "'fruit'", "Did you mean 'fruits'?"]),
        ("concepts: shades", "concepts: none", ["'concepts'", "'none'", "shades"]),
        ("id: saying", "id: lamp", ["templates[1]", "'lamp'", "each id once"]),
        ("id: saying", "id: 3", ["templates[1]", "'id'", "int", "quote it"]),
        ("id: saying", "id: no", ["'id'", "False", "bool", "quote it"]),
        ("id: saying", "id: a/b", ["'id'", "'a/b'"]),
        ("id: saying", "id: ''", ["'id'", "''", "not empty"]),
        ("category: things", "category: ' things'", ["'category'", "' things'", "without spaces"]),
        ("category: things", "category: all", ["'category'", "'all'"]),
        ("category: things", "category: [a]", ["'category'", "list"]),
        ("The lamp is {concept}. He", "The lamp is red. He", ["'test'", "without a placeholder", "{concept}"]),
        (
            "The lamp is {concept}. He",
            "The lamp is {clause}. He",
            ["'lamp'", "{clause}", "{concept}, {group}", "'red'"],
        ),
        ("The lamp is {concept}. He", "The lamp is {}. He", ["'lamp'", "{}", "{concept}"]),
        ("The lamp is {concept}. He", "The lamp is {concept. He", ["'test'", "doubled"]),
        ("The lamp is {concept}. He", "The lamp is {concept!r}. He", ["'test'", "a format"]),
        ("There is a lamp.", "There is a {concept} lamp.", ["'control'", "{concept}", "allowed: none"]),
        ('"There is a lamp. He eats"', '""', ["'control'", "not empty"]),
        ('"There is a lamp. He eats"', '"There is a lamp. He eats "', ["'control'", "without spaces"]),
        ("There is a lamp.", "The lamp is small.", ["'lamp/without' and 'lamp/neutral'", "prompt"]),
        ("There is a lamp.", "The lamp is red.", ["'lamp/without' and 'lamp/red' (term 'red')"]),
        ("expects_group: true", "expects_group: maybe", ["'saying'", "'expects_group'", "'maybe'", "true or false"]),
        ("description: Two sentences.\n", "", ["'description'"]),
        ("description: Two sentences.", "sentences: 2", ["'sentences'", "description"]),
        ("  - id: lamp\n", "  - id: lamp\n    id: lump\n", ["line 4", "'id' twice"]),
        ('"The lamp is {concept}. He eats"', '"The lamp', ["line"]),
    ],
)
def test_a_wrong_template_is_one_line(folder: Path, old: str, new: str, parts: list[str]) -> None:
    change(folder / "set/templates.yaml", old, new)
    message = refusal(folder)
    assert message.startswith(str(folder / "set/templates.yaml"))
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("term: red", "term: no", ["terms[0]", "'term'", "False", "quote it"]),
        ("term: red", "term: 1", ["terms[0]", "'term'", "1", "quote it"]),
        ("term: red", "term: 2024-01-31", ["terms[0]", "date", "quote it"]),
        ("term: red", "term: null", ["terms[0]", "got nothing"]),
        ("term: red", "term: ' red'", ["terms[0]", "' red'", "without spaces"]),
        ("term: red", "term: ''", ["terms[0]", "not empty"]),
        ("term: Lime green", "term: red", ["terms[1]", "'red'", "each term once"]),
        (", group: green", "", ["terms[1]", "'group'"]),
        ("group: green", "group: none", ["terms[1]", "'group'", "'none'", "several groups, or none"]),
        ("group: green", "group: green, concept: x", ["terms[1]", "'concept'"]),
        ("group: green", "group: green, on: x", ["terms[1]", "True", "quote it"]),
        ("{term: red, group: red}", "red", ["terms[0]", "'red'", "mapping"]),
        ("description: Shades.", "description: Shades.\nterm: red", ["'term'", "Did you mean 'terms'?"]),
        ("group: red}", "group: red", ["line"]),
    ],
)
def test_a_wrong_lexicon_is_one_line(folder: Path, old: str, new: str, parts: list[str]) -> None:
    change(folder / "lexicons/shades.yaml", old, new)
    message = refusal(folder)
    assert message.startswith(str(folder / "lexicons/shades.yaml"))
    for part in parts:
        assert part in message


def test_a_long_lexicon_takes_no_more_than_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = [{"term": f"red {i}", "group": "red"} for i in range(15_000)]
    monkeypatch.setattr("leakscope.leak.prompts.read_yaml", lambda path: {"description": "Reds.", "terms": terms})
    began = time.monotonic()
    assert len(read_lexicon(Path("reds.yaml"))) == 15_000
    assert time.monotonic() - began < 5


def test_terms_that_give_the_same_id_are_refused(folder: Path) -> None:
    change(folder / "lexicons/shades.yaml", "term: red", "term: lime-green")
    assert "'lamp/lime-green' (term 'lime-green')" in refusal(folder)


def test_a_term_without_letters_is_refused(folder: Path) -> None:
    change(folder / "lexicons/shades.yaml", "term: red", "term: '!'")
    assert "a letter or digit" in refusal(folder)


def test_an_expected_group_that_the_slot_lacks_is_refused(folder: Path) -> None:
    change(folder / "lexicons/sayings.yaml", "group: red", "group: black")
    message = refusal(folder)
    for part in ("'saying'", "'black'", "'red tape'", "red, green"):
        assert part in message


def test_an_empty_list_of_terms_is_refused(folder: Path) -> None:
    (folder / "lexicons/shades.yaml").write_text("description: Shades.\nterms: []\n", encoding="utf-8")
    assert "at least one" in refusal(folder)


def test_a_file_that_is_empty_missing_or_not_utf8_is_refused(folder: Path) -> None:
    templates = folder / "set/templates.yaml"
    templates.write_bytes(TEMPLATES.replace("Two sentences", "Zwei Sätze").encode("latin-1"))
    message = refusal(folder)
    assert "line 1" in message
    assert "byte 0xe4 at offset 19" in message
    templates.write_text("# nothing\n", encoding="utf-8")
    assert "an empty file" in refusal(folder)
    templates.unlink()
    assert str(templates) in refusal(folder)


def test_control_characters_are_refused(folder: Path) -> None:
    change(folder / "set/templates.yaml", "Two sentences", "Two\x07sentences")
    assert "invalid YAML" in refusal(folder)


def test_doubled_braces_stay_braces(folder: Path) -> None:
    change(folder / "set/templates.yaml", "There is a lamp.", "There is a {{lamp}}.")
    assert build(folder).prompts["prompt"][0] == "There is a {lamp}. He eats"


# ---- the shipped prompt sets


@pytest.fixture(scope="module")
def colors(root: Path) -> PromptSet:
    return build_prompts(template_files(root / "data/prompt_sets/colors", [root / "data/lexicons"]), "colors")


@pytest.fixture(scope="module")
def associations(root: Path) -> PromptSet:
    return build_prompts(
        template_files(root / "data/prompt_sets/associations", [root / "data/lexicons"]), "associations"
    )


def leaking(built: PromptSet) -> pd.DataFrame:
    return built.prompts[built.prompts["control_id"].notna()]


def test_colors_has_the_published_design(colors: PromptSet) -> None:
    tests = leaking(colors)
    assert tests.groupby("category", sort=False).size().tolist() == [330, 330, 60]
    assert tests.groupby("category", sort=False)["template_id"].nunique().tolist() == [10, 10, 4]
    assert tests.groupby("category", sort=False)["concept_group"].nunique().tolist()[:2] == [11, 11]
    shades = tests[tests["template_id"] == tests["template_id"].iloc[0]].groupby("concept_group").size()
    assert shades.tolist() == [3] * 11


def test_associations_has_a_hundred_tests_over_eight_categories(associations: PromptSet) -> None:
    tests = leaking(associations)
    assert len(tests) >= 100
    assert tests["category"].nunique() >= 8


@pytest.mark.parametrize("name", ["colors", "associations"])
def test_shipped_prompts_are_whole(name: str, request: pytest.FixtureRequest) -> None:
    built: PromptSet = request.getfixturevalue(name)
    prompts, tests = built.prompts, leaking(built)
    assert prompts["prompt"].is_unique
    assert prompts["prompt_id"].is_unique
    assert not prompts["prompt"].str.contains(r"[{}]|  ").any()
    assert tests["neutral_control_id"].notna().all()
    for control in ("control_id", "neutral_control_id"):
        texts = tests[control].map(prompts.set_index("prompt_id")["prompt"])
        assert texts.notna().all()
        assert not [t for t, concept in zip(texts, tests["concept"], strict=True) if f" {concept} " in f" {t} "]
    assert all(concept in text for concept, text in zip(tests["concept"], tests["prompt"], strict=True))


@pytest.mark.parametrize("name", ["colors", "associations"])
def test_every_shipped_concept_has_an_associate_in_its_slot(name: str, request: pytest.FixtureRequest) -> None:
    built: PromptSet = request.getfixturevalue(name)
    groups = set(zip(built.candidates["slot"], built.candidates["concept_group"], strict=True))
    tests = leaking(built)
    assert set(zip(tests["slot"], tests["concept_group"], strict=True)) <= groups


def test_every_shipped_lexicon_is_valid_and_used(root: Path) -> None:
    used = {
        file
        for folder in (root / "data/prompt_sets").iterdir()
        for file in template_files(folder, [root / "data/lexicons"])
    }
    for file in (root / "data/lexicons").glob("*.yaml"):
        assert read_lexicon(file)
        assert file in used


# ---- the schemas say what the code does


def test_schemas_have_the_keys_that_are_read(root: Path) -> None:
    template = _schema(root, "templates")["properties"]["templates"]["items"]
    assert template["required"] == list(TEMPLATE_KEYS)
    assert list(template["properties"]) == [*TEMPLATE_KEYS, *TEMPLATE_OPTIONS]
    assert _schema(root, "lexicon")["properties"]["terms"]["items"]["required"] == list(TERM_KEYS)


def test_shipped_files_follow_the_schemas(root: Path) -> None:
    for pattern, schema in (("prompt_sets/*/templates.yaml", "templates"), ("lexicons/*.yaml", "lexicon")):
        validator = jsonschema.Draft202012Validator(_schema(root, schema))
        for file in (root / "data").glob(pattern):
            validator.validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def _schema(root: Path, name: str) -> dict:
    schema = json.loads((root / f"schemas/{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema
