"""Prompt sets in other languages and across them: whole, agreeing in gender, and scored as each language writes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from transformers import PreTrainedTokenizerBase

from leakscope.errors import InputError
from leakscope.languages.closing_marks import closing_mark, is_spaced
from leakscope.leak.known.exact_match import ExactMatches
from leakscope.leak.pairs import list_pairs
from leakscope.leak.prompt_files import read_lexicon, read_templates, unreviewed
from leakscope.leak.prompts import PromptSet, build_prompts, template_files
from leakscope.models.candidate_scores import encode_candidates
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.models.prompts.rendering import encode_continuations

OWN = ("colors_zh", "colors_he", "colors_id", "colors_es")
CROSSED = ("colors_en_zh", "colors_zh_en", "colors_en_id", "colors_id_en")
# The nouns that colors are said of, with their gender: what a placeholder is held against.
GENDERS = {
    "es": {
        "mochila": "f", "puerta": "f", "cesta": "f", "mantel": "m", "alfombra": "f", "escalera": "f", "camión": "m",
        "bufanda": "f", "bicicleta": "f", "sofá": "m", "barco": "m", "tejado": "m", "coche": "m", "sombrero": "m",
        "casco": "m", "lámpara": "f", "bandera": "f",
    },
    "he": {
        "התיק": "m", "דלת": "f", "הסל": "m", "מפת": "f", "השטיח": "m", "הסולם": "m", "המשאית": "f", "הצעיף": "m",
        "האופנוע": "m", "הספה": "f", "הסירה": "f", "הגג": "m", "המכונית": "f", "הכובע": "m", "הקסדה": "f",
        "המנורה": "f", "הדגל": "m",
    },
}  # fmt: skip
# What agreement looks like, written down here a second time.
FORMS = {
    "es": {
        "m": ["negro", "blanco", "rojo", "verde", "amarillo", "azul", "marrón", "naranja", "rosa", "morado", "gris"],
        "f": ["negra", "blanca", "roja", "verde", "amarilla", "azul", "marrón", "naranja", "rosa", "morada", "gris"],
    },
    "he": {
        "m": ["שחור", "לבן", "אדום", "ירוק", "צהוב", "כחול", "חום", "כתום", "ורוד", "סגול", "אפור"],
        "f": ["שחורה", "לבנה", "אדומה", "ירוקה", "צהובה", "כחולה", "חומה", "כתומה", "ורודה", "סגולה", "אפורה"],
    },
}


def built(root: Path, name: str) -> PromptSet:
    return build_prompts(template_files(root / "data/prompt_sets" / name, [root / "data/lexicons"]), name)


@pytest.mark.parametrize("name", [*OWN, *CROSSED])
def test_sets_in_other_languages_have_the_design_of_colors(root: Path, name: str) -> None:
    prompts, candidates = built(root, name)
    tests = prompts[prompts["control_id"].notna()]
    assert tests.groupby("category").size().to_dict() == {"color-to-object": 66, "color-to-color": 66}
    assert (tests.groupby("template_id")["concept_group"].nunique() == 11).all()
    assert tests["template_id"].nunique() == 12
    assert prompts["prompt"].is_unique
    assert not prompts["prompt"].str.contains(r"[{}]|  |^\s|\s$").any()
    text_of = prompts.set_index("prompt_id")["prompt"]
    for control in ("control_id", "neutral_control_id"):
        controls = tests[control].map(text_of)
        # All end in the same sentence, which is what is gone on with.
        for test, other in zip(tests["prompt"], controls, strict=True):
            assert re.split("[.。]", test)[-1] == re.split("[.。]", other)[-1] != ""
            assert test != other
        assert not any(concept in text for concept in tests["concept"].unique() for text in controls)
    objects = candidates[candidates["slot"].str.startswith("color_")].groupby(["slot", "concept_group"]).size()
    assert len(objects) == 3 * 11
    assert (objects == (1 if name.endswith("_en") else 2)).all()
    assert set(candidates["concept_group"]) == set(tests["concept_group"])
    assert "read for agreement and sense" in str(unreviewed(root / "data/prompt_sets" / name / "templates.yaml"))


@pytest.mark.parametrize("language", ["es", "he"])
def test_every_color_agrees_with_its_noun(root: Path, language: str) -> None:
    genders, forms = GENDERS[language], FORMS[language]
    colors = {
        term.term: term.fillers["f"] for term in read_lexicon(root / f"data/lexicons/basic_colors_{language}.yaml")
    }
    assert colors == dict(zip(forms["m"], forms["f"], strict=True))
    slots = {"m": f"basic_colors_{language}", "f": f"feminine_colors_{language}"}
    feminine = [term.term for term in read_lexicon(root / f"data/lexicons/{slots['f']}.yaml")]
    assert feminine == forms["f"]
    prompts = built(root, f"colors_{language}").prompts
    for template in read_templates(root / f"data/prompt_sets/colors_{language}/templates.yaml"):
        clause, _, rest = template.test.partition(".")
        (gender,) = {genders[word] for word in re.findall(r"\w+", clause) if word in genders}
        tests = prompts[(prompts["template_id"] == template.id) & prompts["concept"].notna()]
        for text, form in zip(tests["prompt"], forms[gender], strict=True):
            said = text.partition(".")[0].split()[-1]
            assert said in (form, f"ה{form}")
        if template.category == "color-to-color":
            (following,) = {genders[word] for word in re.findall(r"\w+", rest) if word in genders}
            assert template.slot == slots[following], template.id


def test_a_form_of_the_wrong_gender_would_be_seen(root: Path) -> None:
    # The counter-example of the test above: "La puerta es rojo."
    text = (root / "data/prompt_sets/colors_es/templates.yaml").read_text(encoding="utf-8")
    wrong = yaml.safe_load(text.replace("La puerta principal es {f}.", "La puerta principal es {concept}."))
    (template,) = [template for template in wrong["templates"] if template["id"] == "door-roof"]
    filled = template["test"].format(concept="rojo", f="roja").partition(".")[0].split()[-1]
    assert GENDERS["es"]["puerta"] == "f"
    assert filled not in FORMS["es"]["f"]


@pytest.mark.parametrize("language", ["zh", "he", "es", "id"])
def test_no_associate_names_a_color(root: Path, language: str) -> None:
    names = [term.term for term in read_lexicon(root / f"data/lexicons/basic_colors_{language}.yaml")]
    names = [name.removesuffix("色") for name in names] + FORMS.get(language, {}).get("f", [])
    for file in (root / "data/lexicons").glob(f"color_*_{language}.yaml"):
        for term in read_lexicon(file):
            words = [term.term] if language == "zh" else [f" {term.term} "]
            assert not [name for name in names for word in words if (name if language == "zh" else f" {name} ") in word]


def test_spanish_associates_have_the_article_that_their_sentence_needs(root: Path) -> None:
    for slot, article in {
        "animals": r"(el|la) ",
        "objects": r"(un|una|unos|unas) ",
        "foods": r"(?!(el|la|un|una) )",
    }.items():
        for term in read_lexicon(root / f"data/lexicons/color_{slot}_es.yaml"):
            assert re.match(article, term.term), term.term


# ---- how each language writes what is scored


@pytest.mark.parametrize(
    ("language", "mark", "spaced"),
    [
        ("en", ".", True),
        ("he", ".", True),
        ("zh", "。", False),
        ("ja", "。", False),
        ("hi", "।", True),
        ("ur", "۔", True),
        ("th", "", False),
        ("xx", ".", True),
    ],
)
def test_a_sentence_ends_as_its_language_has_it(language: str, mark: str, spaced: bool) -> None:
    assert (closing_mark(language), is_spaced(language)) == (mark, spaced)


def test_candidates_are_joined_and_ended_as_their_language_has_it(micro_model: LanguageModel) -> None:
    tokenizer = micro_model.tokenizer
    prompt = "屋顶的颜色是"
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]

    def written(language: str) -> str:
        prompting = Prompting({"stop": "sentence"}, chat=False, language=language)
        ((tokens,),) = encode_candidates(micro_model, [prompt], [ids], [["红色"]], prompting)
        text: str = tokenizer.decode(ids + tokens)
        return text

    assert written("zh") == "屋顶的颜色是红色。"
    assert written("en") == "屋顶的颜色是 红色."


class Joining:
    """A tokenizer that makes one token of 了 and 一, as those of models that read Chinese do."""

    name_or_path = "joining"

    def __call__(self, text: str, add_special_tokens: bool = True, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [ord(part[0]) + 1000 * (len(part) - 1) for part in re.findall("了一|.", text, re.S)]}


def test_a_candidate_that_a_tokenizer_joins_with_the_prompt_is_encoded_apart() -> None:
    tokenizer: PreTrainedTokenizerBase = Joining()  # type: ignore[assignment]
    prompt, candidate = "他画了", "一把锤子。"
    ids = [ord(letter) for letter in prompt]
    (added,) = encode_continuations(tokenizer, prompt, ids, [candidate], lead="", chat=True, spaced=False)
    assert added == [ord(letter) for letter in candidate]
    with pytest.raises(InputError, match="merges with the prompt's last"):
        encode_continuations(tokenizer, prompt, ids, [candidate], lead="", chat=True)


def test_pairs_and_the_exact_match_rate_know_the_mark_of_each_set() -> None:
    rows = [
        (prompt_set, f"{prompt_set}/{concept}", "without", None, concept, concept, "t", "s", f"{concept}?", "c", "no")
        for prompt_set in ("own", "other")
        for concept in ("red", "blue")
    ]
    columns = ["prompt_set", "prompt_id", "control_id", "neutral_control_id", "concept", "concept_group"]
    prompts = pd.DataFrame(rows, columns=[*columns, "template_id", "slot", "prompt", "category", "made"])
    control = {"prompt_id": "without", "prompt": "?", "template_id": "t", "slot": "s", "category": "c", "made": "no"}
    prompts = pd.concat([prompts, *(pd.DataFrame([{"prompt_set": s, **control}]) for s in ("own", "other"))])
    candidates = pd.DataFrame({"slot": "s", "candidate": ["x", "y"], "concept_group": ["red", "blue"]})
    texts = pd.DataFrame(columns=["prompt_set", "prompt_id", "text"], dtype=str)
    assert set(list_pairs(prompts, texts, candidates)["text"]) == {"x.", "y."}
    other = prompts["prompt_set"] == "other"
    languages = np.where(other, "zh", "en")
    prompts = prompts.assign(language=languages, concept_language=languages)
    assert set(list_pairs(prompts, texts, candidates)["text"]) == {"x.", "y.", "x。", "y。"}
    similarity = {("red", "x。"): 1.0, ("red", "y。"): 0.0, ("blue", "x。"): 0.0, ("blue", "y。"): 1.0}
    own = prompts[prompts["prompt_set"] == "other"]
    laws = {"other/red": {"x": 1.0, "y": 0.0}, "other/blue": {"x": 0.5, "y": 0.5}}
    # Of the two texts of blue, y is right, and x a tie: 1/2 · 1 + 1/2 · 1/2.
    assert ExactMatches(similarity, 3, "。").by_unit(own, laws)["match"].tolist() == [0.75]
