from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

from leakscope.errors import InputError
from leakscope.leak.prompt_files import read_lexicon
from leakscope.leak.prompts import (
    CANDIDATE_COLUMNS,
    PROMPT_COLUMNS,
    PromptSet,
    build_prompts,
    count_prompts,
    no_candidates,
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


def refusals(folder: Path, read: Callable[[Path], object] = build) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(folder)
    lines = str(caught.value).splitlines()
    assert all("got" in line and "allowed" in line for line in lines)
    return lines


def refusal(folder: Path) -> str:
    (line,) = refusals(folder)
    return line


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


@pytest.mark.parametrize("module", ["leak", "ground", "validate", "features", "report", "opening"])
def test_what_every_job_of_snakemake_imports_is_light(root: Path, module: str) -> None:
    code = f"import sys, leakscope.workflow.{module}; print([m for m in ('pandas', 'pydantic') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(root / "scripts")}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("    slot: fruits\n", "", ["templates.0.slot ('lamp'): got nothing"]),
        ("slot: fruits", "slto: fruits", ["templates.0.slto ('lamp')", "an unknown key", "Did you mean 'slot'?"]),
        ("slot: fruits", "slot: fruit", ["templates.0.slot ('lamp'): got 'fruit'", "Did you mean 'fruits'?"]),
        ("concepts: shades", "concepts: none", ["templates.0.concepts ('lamp'): got 'none'", "shades"]),
        ("id: saying", "id: lamp", ["templates.1.id", "'lamp' again", "each id once"]),
        ("id: saying", "id: 3", ["templates.1.id: got 3; allowed: a name of letters", "Put it in quotes"]),
        ("id: saying", "id: no", ["templates.1.id: got false", "Put it in quotes"]),
        ("id: saying", "id: a/b", ["templates.1.id: got 'a/b'; allowed: a name of letters"]),
        ("id: saying", "id: ''", ["templates.1.id: got ''; allowed: a name of letters"]),
        ("id: saying", 'id: "saying\\n"', ["templates.1.id: got 'saying\\n'; allowed: a name of letters"]),
        ("id: saying", "on: 3\n    id: saying", ["templates.1", "got the key true; allowed: text", "Put it in quotes"]),
        ("category: things", "category: ' things'", ["category ('lamp'): got ' things'", "without spaces"]),
        ("category: things", "category: all", ["category ('lamp'): got 'all'; allowed: text", "other than 'all'"]),
        ("category: things", "category: [a]", ["category ('lamp'): got [\"a\"]; allowed: text"]),
        ("The lamp is {concept}. He", "The lamp is red. He", ["test ('lamp'): got 'The lamp is red. ", "{concept}"]),
        (
            "The lamp is {concept}. He",
            "The lamp is {clause}. He",
            ["templates.0.test ('lamp'): got the placeholder {clause}", "{concept}, {group}", "'red'"],
        ),
        ("The lamp is {concept}. He", "The lamp is {}. He", ["'lamp'", "{}", "{concept}"]),
        ("The lamp is {concept}. He", "The lamp is {concept.x}. He", ["'lamp'", "{concept.x}", "such as {concept}"]),
        ("The lamp is {concept}. He", "The lamp is {concept. He", ["test ('lamp')", "doubled"]),
        ("The lamp is {concept}. He", "The lamp is {concept!r}. He", ["test ('lamp')", "none with a format"]),
        ("There is a lamp.", "There is a {concept} lamp.", ["control ('lamp')", "{concept}", "without a placeholder"]),
        ('"There is a lamp. He eats"', '""', ["control ('lamp'): got ''", "not empty"]),
        ('"There is a lamp. He eats"', '"There is a lamp. He eats "', ["control ('lamp')", "without spaces"]),
        ("There is a lamp.", "The lamp is small.", ["'lamp/without' and 'lamp/neutral'", "prompt"]),
        ("There is a lamp.", "The lamp is red.", ["'lamp/without' and 'lamp/red' (term 'red')"]),
        ("expects_group: true", "expects_group: maybe", ["expects_group ('saying'): got 'maybe'", "true or false"]),
        ("expects_group: true", "expects_group: 1", ["expects_group ('saying'): got 1", "true or false"]),
        ("description: Two sentences.\n", "", ["templates.yaml: description: got nothing"]),
        ("description: Two sentences.", "descripton: 2", ["descripton: got an unknown key", "'description'?"]),
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
        ("term: red", "term: no", ["terms.0.term: got false; allowed: text", "Put it in quotes"]),
        ("term: red", "term: 1", ["terms.0.term: got 1; allowed: text", "Put it in quotes"]),
        ("term: red", "term: 2024-01-31", ["terms.0.term: got 2024-01-31; allowed: text", "Put it in quotes"]),
        ("term: red", "term: null", ["terms.0.term: got null; allowed: text"]),
        ("term: red", "term: ' red'", ["terms.0.term: got ' red'", "without spaces"]),
        ("term: red", "term: ''", ["terms.0.term: got ''", "not empty"]),
        ("term: Lime green", "term: red", ["terms.1.term: got 'red' again", "each term once"]),
        (", group: green", "", ["terms.1.group ('Lime green'): got nothing"]),
        ("group: green", "group: none", ["terms.1.group ('Lime green'): got 'none'", "several groups, or none"]),
        ("group: green", "group: green, concept: x", ["terms.1.concept ('Lime green')", "other than 'concept'"]),
        ("group: green", "group: green, a b: x", ["terms.1.a b ('Lime green')", "got the key 'a b'", "an identifier"]),
        ("group: green", "group: green, on: x", ["terms.1", "got the key true; allowed: text", "Put it in quotes"]),
        ("group: green", "group: green, clause: 3", ["terms.1.clause ('Lime green'): got 3", "Put it in quotes"]),
        ("{term: red, group: red}", "red", ["terms.0: got 'red'; allowed: a mapping with term, group"]),
        ("description: Shades.", "description: Shades.\nterm: red", ["term: got an unknown", "Did you mean 'terms'?"]),
        ("group: red}", "group: red", ["line"]),
    ],
)
def test_a_wrong_lexicon_is_one_line(folder: Path, old: str, new: str, parts: list[str]) -> None:
    change(folder / "lexicons/shades.yaml", old, new)
    message = refusal(folder)
    assert message.startswith(str(folder / "lexicons/shades.yaml"))
    for part in parts:
        assert part in message


def test_terms_that_differ_in_signs_alone_have_ids_of_their_own(folder: Path) -> None:
    terms = ["C", "C++", "c 2", "C#", "Without", "naïve", "Naïve!"]
    lines = [f"  - {{term: '{term}', group: red}}\n" for term in terms]
    names = ["c", "c-3", "c-2", "c-4", "without-2", "naïve", "naïve-2"]
    (folder / "lexicons/shades.yaml").write_text(f"description: Languages.\nterms:\n{''.join(lines)}", "utf-8")

    def ids() -> list[str]:
        prompts = build(folder).prompts
        return prompts.loc[prompts["template_id"] == "lamp", "prompt_id"].tolist()

    assert ids() == [f"lamp/{name}" for name in ("without", "neutral", *names)]
    # Terms that are added below change no name.
    change(folder / "lexicons/shades.yaml", lines[-1], f"{lines[-1]}  - {{term: C!, group: red}}\n")
    assert ids() == [f"lamp/{name}" for name in ("without", "neutral", *names, "c-5")]


def test_a_long_lexicon_takes_no_more_than_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = [{"term": f"red {i}", "group": "red"} for i in range(15_000)]
    monkeypatch.setattr("leakscope.typed.reading.read_yaml", lambda path: {"description": "Reds.", "terms": terms})
    began = time.monotonic()
    assert len(read_lexicon(Path("reds.yaml"))) == 15_000
    assert time.monotonic() - began < 5


def test_all_mistakes_of_all_files_of_a_kind_are_named_at_once(folder: Path) -> None:
    templates = folder / "set/templates.yaml"
    change(templates, "slot: fruits", "slto: fruits")
    change(templates, "category: sayings", "category: all")
    change(templates, "id: saying", "id: a/b")
    assert [line.split(": ")[1] for line in refusals(folder)] == [
        "templates.0.slto ('lamp')",
        "templates.1.id",
        "templates.1.category ('a/b')",
    ]
    templates.write_text(TEMPLATES.replace("concepts: ", "concepts: x"), encoding="utf-8")
    assert [line.split(": ")[2].split(";")[0] for line in refusals(folder)] == ["got 'xshades'", "got 'xsayings'"]
    templates.write_text(TEMPLATES.replace("{clause}", "{claus}").replace("{concept}", "{concpt}"), encoding="utf-8")
    assert [line.split(": ")[2].split(";")[0] for line in refusals(folder)] == [
        "got the placeholder {concpt}",
        "got the placeholder {claus}",
    ]
    change(folder / "lexicons/shades.yaml", "term: red", "term: no")
    change(folder / "lexicons/fruits.yaml", "term: a plum", "term: ' a plum'")
    for build_or_count in (build, lambda folder: count_prompts(template_files(folder / "set", [folder / "lexicons"]))):
        assert [line.split(": got")[0] for line in refusals(folder, build_or_count)] == [
            f"{folder}/lexicons/shades.yaml: terms.0.term",
            f"{folder}/lexicons/fruits.yaml: terms.2.term",
        ]


def test_a_mistake_is_one_short_line_however_long_what_was_found_is(folder: Path) -> None:
    change(folder / "set/templates.yaml", "slot: fruits", f"{'s l ' * 300}: [{'a,' * 300}]")
    change(folder / "set/templates.yaml", "id: lamp", f"id: {'lamp' * 300}")
    for line in refusals(folder):
        assert len(line.removeprefix(str(folder))) < 400
    (folder / "set/templates.yaml").write_text(TEMPLATES, encoding="utf-8")
    for i in range(200):
        (folder / f"lexicons/more{i}.yaml").write_text(SHADES, encoding="utf-8")
    change(folder / "set/templates.yaml", "slot: fruits", "slot: fruit")
    assert len(refusal(folder).removeprefix(str(folder))) < 400
    assert "Did you mean 'fruits'?" in refusal(folder)


def test_a_term_without_letters_is_refused(folder: Path) -> None:
    change(folder / "lexicons/shades.yaml", "term: red", "term: '!'")
    assert "a letter or digit" in refusal(folder)


def test_an_expected_group_that_the_slot_lacks_is_refused(folder: Path) -> None:
    change(folder / "lexicons/sayings.yaml", "group: red", "group: black")
    message = refusal(folder)
    for part in ("templates.1.expects_group ('saying')", "got 'black'", "'red tape'", "allowed: green, red"):
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
        for templates in (root / "data/prompt_sets").glob("*/templates.yaml")
        for file in template_files(templates.parent, [root / "data/lexicons"])
    }
    for file in (root / "data/lexicons").glob("*.yaml"):
        assert read_lexicon(file)
        assert file in used


# ---- the schemas allow what the code does


def test_shipped_files_follow_the_schemas(root: Path) -> None:
    for pattern, schema in (("prompt_sets/*/templates.yaml", "templates"), ("lexicons/*.yaml", "lexicon")):
        validator = jsonschema.Draft202012Validator(_schema(root, schema))
        for file in (root / "data").glob(pattern):
            validator.validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def test_the_schemas_refuse_what_the_code_refuses(root: Path) -> None:
    templates = jsonschema.Draft202012Validator(_schema(root, "templates"))
    assert templates.is_valid(yaml.safe_load(TEMPLATES))
    assert not templates.is_valid(yaml.safe_load(TEMPLATES.replace("category: things", "category: all")))
    lexicon = jsonschema.Draft202012Validator(_schema(root, "lexicon"))
    assert lexicon.is_valid(yaml.safe_load(SAYINGS))
    assert not lexicon.is_valid(yaml.safe_load(SAYINGS.replace("clause:", "concept:")))
    assert not lexicon.is_valid(yaml.safe_load(SAYINGS.replace("clause:", "a clause:")))


def _schema(root: Path, name: str) -> dict:
    schema = json.loads((root / f"schemas/{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema
