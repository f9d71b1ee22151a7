"""What is said of mitigations before any job is planned: which are tried, and what a mitigated model is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from leakscope.configuration import checks_trace
from leakscope.configuration.layers import overridden, shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.workflow.study import Study
from leakscope.workflow.trace import Trace
from workspace import ROOT, Workspace

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
        ),
        mitigations={"mine": wording},
        trace={"mitigations": ["mine"]},
    )
    chat, plain = (config["models"][name]["generation"] for name in ("chat", "plain"))
    assert chat["system"] == "Guess the next words.\n\nIgnore colors."
    assert chat["template"] == "{prompt}"
    assert plain["system"] is None
    assert plain["template"] == "Ignore colors.\n\n{prompt}"
    assert config["models"]["smollm2-135m"]["generation"]["system"] == "Guess the next words."


def test_a_mitigated_model_is_prompted_as_it_was_measured(resolved) -> None:
    own = of("smollm2-135m", "attention", generation={"system": "Say less."})
    with pytest.raises(InputError, match=r"models.own.generation.system: got 'Say less.'; allowed: the base's value"):
        resolved(**with_models(own=own), trace={"mitigations": ["attention"]})


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
            r"mitigations\.attention\.layers: got \[0\.5, 0\.2\]; allowed: two shares of depth",
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
            r"study\.steps: got leak; add trace",
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


# What jobs are given.


def traced(config: dict[str, Any]) -> Trace:
    return Trace(Study(config))


def test_without_mitigations_a_study_plans_what_it_planned(resolved) -> None:
    trace = traced(resolved(trace={"mitigations": []}))
    assert (trace.mitigating.trials, trace.mitigating.files("{model}"), trace.mitigating.summarising()["written"]) == (
        [], [], []
    )  # fmt: skip
    assert trace.patched == trace.pairs
    assert not [file for file in trace.targets() if "mitigations" in file or "frontier" in file]
    with pytest.raises(InputError, match=r"trace\.mitigations: got nothing"):
        trace.targets("mitigations")


def test_each_mitigation_and_none_is_tried_on_each_model_that_is_not_mitigated_itself(resolved) -> None:
    changes = with_models(less=of("organism-s-l40", "lora"), most=of("organism-s-l40", "attention", cost=1))
    trace = traced(resolved(**changes))
    assert trace.mitigating.models == STUDY["models"]
    assert trace.mitigating.trials[:4] == [("smollm2-135m", "colors", name) for name in ["none", *TRIED]]
    assert len(trace.mitigating.trials) == 3 * 4
    assert {model for model, _ in trace.pairs} - {model for model, _ in trace.patched} == {"less", "most"}
    assert trace.mitigating.removed == {"organism-s-l40": {"colors": "less"}}
    assert trace.linking()["removed"] == trace.page()["removed"] == {"organism-s-l40": {"colors": "less"}}
    assert trace.mitigating.chosen("most") == "<trace>/mitigations/organism-s-l40/colors/attention.json"
    assert trace.study.manifest("most") == "<trace>/mitigated/most/model.json"
    assert trace.table("mitigations") in trace.targets()
    assert trace.targets("mitigations") == ["<trace>/mitigations.csv"]


def test_features_are_edited_in_the_model_of_their_dictionary_alone(resolved) -> None:
    trace = traced(
        resolved(
            mitigations={"edit": {"kind": "features", "dictionary": "main"}},
            features={"dictionaries": {"main": DICTIONARY}},
            trace={"mitigations": ["edit"]},
        )
    )
    assert [trial for trial in trace.mitigating.trials if trial[2] == "edit"] == [("organism-s-l40", "colors", "edit")]
    assert trace.mitigating.dictionary_file("edit", "x.json") == "<features>/dictionaries/main/x.json"
    assert trace.mitigating.dictionary_file("none", "x.json") == []


def test_texts_of_models_with_and_without_a_mitigation_are_summarised(resolved) -> None:
    changes = with_models(less=of("organism-s-l40", "lora"))
    changes["study"] |= {"steps": ["leak", "trace"], "scorers": ["lexical"]}
    summarising = traced(resolved(**changes)).mitigating.summarising()
    assert summarising["written"] == [[model, "colors"] for model in [*STUDY["models"], "less"]]
    assert summarising["mitigated"] == [
        {"model": "less", "base": "organism-s-l40", "prompt_set": "colors", "mitigation": "lora", "cost": 3.0}
    ]


def test_a_job_that_trains_takes_more_time_and_is_told_no_label(resolved) -> None:
    trace = traced(resolved())
    tried = trace.mitigating
    assert tried.needs(("smollm2-135m", "attention")).minutes == 4 * trace.study.needs("smollm2-135m").minutes
    assert tried.needs(("smollm2-135m", "lora")).memory_mb >= tried.needs(("smollm2-135m", "attention")).memory_mb
    assert tried.entry("prompt-ignore") == {
        "kind": "prompt", "wording": "Ignore details that do not matter for what comes next."
    }  # fmt: skip
    assert tried.entry("none") == {"kind": "none"}


def test_tasks_are_put_to_all_that_changes_what_a_model_computes_there(resolved, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks_trace, "find_spec", lambda name: name)
    (tmp_path / "mine.yaml").write_text("task: mine\n")
    asked = {"mitigations": ["prompt-ignore", "decoding"], "lm_eval": {"tasks": ["mine"], "folder": str(tmp_path)}}
    tried = traced(resolved(trace=asked)).mitigating
    assert {mitigation for _, _, mitigation in tried.harnessed} == {"none", "prompt-ignore"}
    assert len(tried.harnessed) == 2 * len(STUDY["models"])
    assert tried.harness_files() == [str(tmp_path / "mine.yaml")]
    assert (tried.put_to_tasks["examples"], tried.put_to_tasks["cost"]) == (None, 3.0)
    assert tried.chosen_file("smollm2-135m", "colors", "none") == []
    assert traced(resolved(trace=asked)).targets("mitigations")[-1] == "<trace>/mitigations_tasks.csv"
    assert traced(resolved()).targets("mitigations") == ["<trace>/mitigations.csv"]


@pytest.mark.parametrize(
    ("installed", "trace", "message"),
    [
        (
            False,
            {},
            r"trace\.lm_eval\.tasks: got mine, but lm-eval is not installed; run `pip install 'lm-eval\[hf\]'`",
        ),
        (
            True,
            {"mitigations": []},
            r"trace\.lm_eval\.tasks: got mine without trace\.mitigations; allowed: no tasks",
        ),
        (True, {"lm_eval": {"folder": "no"}}, r"trace\.lm_eval\.folder: got 'no'.*; allowed: a folder that exists"),
    ],
)
def test_tasks_that_cannot_be_put_are_refused(resolved, monkeypatch, installed: bool, trace: Any, message: str) -> None:
    monkeypatch.setattr(checks_trace, "find_spec", lambda name: name if installed else None)
    asked = {**trace, "lm_eval": {"tasks": ["mine"], **trace.get("lm_eval", {})}}
    with pytest.raises(InputError, match=message):
        resolved(trace=asked)


@pytest.mark.workflow
@pytest.mark.parametrize(("study", "n_tried"), [("mitigations", 33), ("trace", 0)])
def test_shipped_studies_are_planned(tmp_path: Path, study: str, n_tried: int) -> None:
    workspace = Workspace(tmp_path / "checkout")
    content = yaml.safe_load((ROOT / f"studies/{study}.yaml").read_text(encoding="utf-8"))
    if n_tried:
        content["trace"]["lm_eval"] = {"tasks": ["lambada_openai"]}
        # A process of its own: one that is warm looks for lm-eval where it was started.
        workspace.snakemake = ("-W", "default", *workspace.snakemake)
        workspace.environment["PYTHONPATH"] = str(tmp_path)
        (tmp_path / "lm_eval").mkdir()
        (tmp_path / "lm_eval/__init__.py").touch()
    planned = workspace.run("-n", "--quiet", "rules", "--cores", "1", study=content).stdout
    counts = dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE))
    assert int(counts.get("mitigate", 0)) == n_tried
    assert int(counts.get("make_mitigated", 0)) == (4 if n_tried else 0)
    # Without the decoding of three models.
    assert int(counts.get("score_tasks", 0)) == max(0, n_tried - 3)
    assert int(counts.get("compare_tasks", 0)) == min(1, n_tried)
    assert int(counts["patch"]) == (3 if n_tried else 5)
    assert ("build_use" in counts, "summarise_mitigations" in counts) == (n_tried > 0, n_tried > 0)
