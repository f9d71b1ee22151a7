"""What a configuration says of models that think, and what the steps make of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve
from leakscope.configuration.steps import uses
from leakscope.errors import InputError
from leakscope.workflow.leak import Leak
from leakscope.workflow.study import Study

THINKER = "organism-s-thinks-both"


@pytest.fixture(autouse=True)
def _in_checkout(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def study_of(root: Path, models: dict[str, Any], *more: str, steps: tuple[str, ...] = ("leak",), **keys: Any) -> Study:
    chosen = {"name": "mine", "models": [*models, *more], "prompt_sets": ["basic_colors"], "scorers": ["lexical"]}
    return Study(resolve(shipped(root), {"study": {**chosen, "steps": [*steps]}, "models": models, **keys}))


def test_variants_with_another_measure_share_weights_and_corpus(root: Path) -> None:
    both = {"both": {"extends": THINKER, "thinking": {"measure": "both"}}}
    study = study_of(root, both, THINKER, "organism-s-l40")
    assert study.entries["both"]["weights"] == THINKER
    assert study.entries["both"]["thinking"] == {"begin": None, "end": None, "budget": 32, "measure": "both"}
    assert study.corpus("both") == study.corpus(THINKER) == "leak@thinks-l40-t40-s0"
    assert study.corpus("organism-s-l40") == "leak-l40-s0"
    # Logit leak and probabilities are those of models that answer at once; texts, of all.
    assert study.scored["model"] == ["organism-s-l40"]
    assert study.thinking == ["both", THINKER]
    assert "thinking" not in study.chat("organism-s-l40")
    assert study.chat("both")["thinking"]["in_candidates"]
    leak = Leak(study)
    assert leak.truth_settings()["thinking"] == {
        "both": {"budget": 32, "measure": "both"},
        THINKER: {"budget": 32, "measure": "answer"},
    }
    plain = Leak(study_of(root, {}, "organism-s-l40"))
    assert "thinking" not in plain.truth_settings()


def test_a_server_is_told_the_sum_of_both_limits_and_marks(root: Path) -> None:
    entry = {"source": "endpoint", "base_url": "http://127.0.0.1:9", "model": "tiny"}
    own = {"begin": "(", "end": ")", "budget": 90, "measure": "thought"}
    models = {"plain": entry, "any": {**entry, "label": "a", "thinking": {}}, "own": {**entry, "thinking": own}}
    study = study_of(root, models)
    manners = {name: study.manner(name) for name in models}
    assert [manners[name]["max_tokens"] for name in models] == [10, 522, 100]
    assert "thinks" not in manners["plain"]
    assert ["<think>", "</think>"] in manners["any"]["thinks"]
    assert manners["own"]["thinks"] == [["(", ")"]]
    assert "measure" not in study.of_sets("plain")["basic_colors"]
    assert study.of_sets("own")["basic_colors"]["measure"] == "thought"


@pytest.mark.parametrize(
    ("models", "line"),
    [
        (
            {"m": {"extends": THINKER, "thinking": {"begin": "<think>"}}},
            "models.m.thinking.begin: got `begin` without `end`; allowed: both keys, or neither.",
        ),
        (
            {"m": {"extends": "organism-s-l40", "grammar": {"thought": 0.5}}},
            "models.m.grammar.thought: got a value for a model without `thinking`; add `thinking: {}` to it, or",
        ),
        (
            {"m": {"extends": THINKER, "grammar": {"parts": ["leak", "taxonomy"]}}},
            "models.m.grammar.thought: got the part 'taxonomy'; allowed: only parts whose texts are bare candid",
        ),
        (
            {"m": {"source": "edited", "base": THINKER, "dictionary": "d", "features": [1]}},
            f"models.m.base: got '{THINKER}', which thinks before it answers; allowed: a model without `thinking`",
        ),
        (
            {"m": {"extends": THINKER, "thinking": {"budget": 0}}},
            "models.m.thinking.budget: got 0; allowed: ",
        ),
    ],
)
def test_mistakes_are_one_line(root: Path, models: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=re.escape(line)):
        study_of(root, models)


@pytest.mark.parametrize("step", ["ground", "validate", "trace"])
def test_other_steps_leave_thinking_models_out_and_say_so_where_none_is_left(root: Path, step: str) -> None:
    with pytest.raises(InputError, match="allowed: at least one"):
        study_of(root, {}, THINKER, steps=("leak", step))
    study = study_of(root, {}, THINKER)
    entry = study.entries[THINKER]
    assert uses("leak", entry, study.config)
    assert not uses(step, entry, study.config)


def test_dictionaries_read_no_thinking_model(root: Path) -> None:
    dictionary = {"source": "trained", "model": THINKER, "layer": 0, "corpus": "own"}
    with pytest.raises(InputError, match=r"features\.dictionaries\.d\.model: got 'organism-s-thinks-both'"):
        study_of(root, {}, THINKER, "organism-s-l40", steps=("features",), features={"dictionaries": {"d": dictionary}})


def test_what_is_made_from_a_thinking_model_thinks_as_it_does(root: Path) -> None:
    study = study_of(root, {"random": {"source": "randomised", "base": THINKER}})
    assert study.entries["random"]["thinking"] == study.entries[THINKER]["thinking"]
    assert study.chat("random")["thinking"]["in_candidates"]
