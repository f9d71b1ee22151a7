"""What is said of mitigations before any job is planned: which are tried, and what a mitigated model is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leakscope.configuration.layers import overridden, shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError

STUDY = {
    "name": "mine",
    "models": ["smollm2-135m", "smollm2-135m-plain", "organism-s-l40"],
    "prompt_sets": ["colors"],
    "scorers": [],
    "steps": ["trace"],
}
DICTIONARY = {"source": "trained", "model": "organism-s-l40", "layer": 1, "corpus": "own", "features": 64, "k": 4}
TRIED = ["prompt-ignore", "attention", "lora"]


@pytest.fixture
def resolved(root: Path):
    below = shipped(root)

    def resolved(**changes: Any) -> dict[str, Any]:
        return resolve(below, overridden({"study": STUDY, "trace": {"mitigations": TRIED}}, changes))

    return resolved


def of(base: str, mitigation: str, **keys: Any) -> dict[str, Any]:
    return {"source": "mitigated", "base": base, "mitigation": mitigation, **keys}


def with_models(**models: Any) -> dict[str, Any]:
    return {"study": {"models": [*STUDY["models"], *models]}, "models": models}


def test_every_shipped_mitigation_is_complete_and_only_those_that_are_tried_are_kept(resolved) -> None:
    config = resolved()
    assert sorted(config["mitigations"]) == sorted(TRIED)
    assert config["mitigations"]["lora"]["r"] == 8
    every = list(resolved(trace={"mitigations": list(shipped(Path.cwd())["mitigations"])})["mitigations"].values())
    assert {entry["kind"] for entry in every} == {"prompt", "decoding", "attention", "steering", "tuning"}
    assert len({entry["label"] for entry in every}) == len(every)
    assert [entry["kind"] for entry in every].count("prompt") == 4


def test_a_mitigated_model_has_the_settings_of_its_base_the_only_prompt_set_and_the_highest_cost(resolved) -> None:
    config = resolved(
        **with_models(less=of("organism-s-l40", "attention", generation={"samples": 3})),
        trace={"mitigations": TRIED, "mitigating": {"costs": [2, 0.5]}},
    )
    entry, base = config["models"]["less"], config["models"]["organism-s-l40"]
    assert (entry["cost"], entry["prompt_set"], entry["weights"]) == (2.0, "colors", "less")
    assert entry["label"] == "organism-s-l40, attention"
    assert entry["device"] == base["device"]
    assert entry["generation"] == {**base["generation"], "samples": 3}


def test_the_base_of_a_mitigated_model_is_studied_before_it(resolved) -> None:
    config = resolved(study={"models": ["less"]}, models={"less": of("organism-m-l40", "lora")})
    assert config["study"]["models"] == ["organism-m-l40", "less"]


def test_a_prompt_is_a_system_message_where_there_is_a_chat_and_else_stands_before_the_prompt(resolved) -> None:
    wording = {"kind": "prompt", "wording": "Ignore colors."}
    config = resolved(
        **with_models(
            chat=of("smollm2-135m", "mine"),
            plain=of("smollm2-135m-plain", "mine"),
            own=of("smollm2-135m", "mine", generation={"system": "Say less."}, label="own"),
        ),
        mitigations={"mine": wording},
        trace={"mitigations": ["mine"]},
    )
    chat, plain, own = (config["models"][name]["generation"] for name in ("chat", "plain", "own"))
    assert chat["system"] == "Guess the next words.\n\nIgnore colors."
    assert chat["template"] == "{prompt}"
    assert plain["system"] is None
    assert plain["template"] == "Ignore colors.\n\n{prompt}"
    assert own["system"] == "Say less."
    assert config["models"]["smollm2-135m"]["generation"]["system"] == "Guess the next words."


def test_a_dictionary_of_a_mitigation_makes_the_study_use_its_dictionaries(resolved) -> None:
    changes = {
        "mitigations": {"edit": {"kind": "features", "dictionary": "main"}},
        "features": {"dictionaries": {"main": DICTIONARY}},
    }
    config = resolved(**changes, trace={"mitigations": ["edit"]}, models={"less": of("organism-s-l40", "edit")})
    assert config["mitigations"]["edit"]["features"] == 10
    without = resolved(**changes, trace={"mitigations": ["edit", "lora"]}, without=["organism-s-l40"])
    assert without["trace"]["mitigations"] == ["lora"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trace": {"mitigations": ["atention"]}}, r"trace\.mitigations: got 'atention'; .*Did you mean 'attention'\?"),
        ({"mitigations": {"none": {"kind": "decoding"}}}, r"mitigations: got 'none'; allowed: .*other than 'none'"),
        ({"mitigations": {"lora": {"kind": "lora"}}}, r"mitigations\.lora\.kind: got 'lora'; allowed: attention, "),
        (
            {"mitigations": {"attention": {"layers": [[0.5, 0.2]]}}},
            r"mitigations\.attention\.layers: got \[0\.5, 0\.2\]; allowed: the first share",
        ),
        ({"trace": {"sets": {"colors": {"use": "no.yaml"}}}}, r"trace\.sets\.colors\.use: got 'no\.yaml'"),
        ({"trace": {"mitigating": {"neutral": "no.txt"}}}, r"trace\.mitigating\.neutral: got 'no\.txt'"),
        ({"trace": {"mitigating": {"costs": []}}}, r"trace\.mitigating\.costs: got \[\]"),
        (with_models(less=of("organism-s-l40", "decoding")), r"models\.less\.mitigation: got 'decoding'; allowed: att"),
        (with_models(less=of("organism-s-l4", "lora")), r"models\.less\.base: got 'organism-s-l4'; .*organism-s-l40"),
        (with_models(less=of("organism-s-l40", "lora", cost=2)), r"models\.less\.cost: got 2; allowed: one of .*1, 3"),
        (
            with_models(less=of("organism-s-l40", "lora", prompt_set="animals")),
            r"models\.less\.prompt_set: got 'animals'; allowed: colors",
        ),
        (
            {
                "study": {"prompt_sets": ["colors", "associations"], "models": ["organism-s-l40", "less"]},
                "models": {"less": of("organism-s-l40", "lora")},
            },
            r"models\.less\.prompt_set: got nothing; allowed: one of colors, associations",
        ),
        (
            with_models(less=of("organism-s-l40", "lora"), more=of("less", "lora")),
            r"models\.more\.base: got 'less'",
        ),
        (
            {
                "study": {"steps": ["leak"], "scorers": ["lexical"], "models": ["organism-s-l40", "less"]},
                "models": {"less": of("organism-s-l40", "lora")},
            },
            r"study\.steps: got leak; allowed: also trace",
        ),
        (
            {
                "mitigations": {"edit": {"kind": "features", "dictionary": "mian"}},
                "features": {"dictionaries": {"main": DICTIONARY}},
                "trace": {"mitigations": ["edit"]},
            },
            r"mitigations\.edit\.dictionary: got 'mian'; allowed: main",
        ),
        (
            {
                "mitigations": {"edit": {"kind": "features", "dictionary": "main"}},
                "features": {"dictionaries": {"main": DICTIONARY}},
                "trace": {"mitigations": ["edit"]},
                **with_models(less=of("smollm2-135m", "edit")),
            },
            r"models\.less\.base: got 'smollm2-135m'; allowed: organism-s-l40, the model of the dictionary",
        ),
        (
            {"models": {"smollm2-135m-plain": {"quantization": {"load_in_4bit": True}}}},
            r"trace\.mitigations: got 'smollm2-135m-plain', which is quantised",
        ),
    ],
)
def test_each_mistake_is_one_line(resolved, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        resolved(**changes)
    assert "\n" not in str(error.value)
