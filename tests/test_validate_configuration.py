"""What is said of a study's tasks and tuned models before any job is planned."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from helpers import TOKENIZER_JSON
from leakscope.configuration.resolved import is_generated, organisms
from leakscope.configuration.resolving import resolve
from leakscope.configuration.sections.validate import TaskEntry
from leakscope.configuration.steps import imported_scores, uses
from leakscope.errors import InputError
from leakscope.typed.values import Split
from leakscope.validate.tasks.readers import READERS
from leakscope.validate.tasks.splits import METHODS
from leakscope.validate.tuning.methods import Method, read_method

Config = dict[str, Any]
FORMS = {
    "description": "For tests.",
    "generators": [{"id": "g", "text": "{question} are", "negated": "{question} are not"}],
    "validators": [{"id": "v", "text": "{question}, {candidate}?"}],
    "styles": [{"id": "plain", "shots": 0, "chat": False, "template": "{prompt}"}],
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A study of an organism, a hub model and imported scores on one task; its files are in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("leakscope.files.finding.CHECKOUT", tmp_path)
    for folder in ("data/grammar/kinds", "folder"):
        Path(folder).mkdir(parents=True)
    for file in ("items.csv", "scores.json", "neutral.txt"):
        Path(file).touch()
    Path("folder/config.json").write_text("{}")
    Path("folder/tokenizer.json").write_text(TOKENIZER_JSON)
    Path("forms.yaml").write_text(yaml.safe_dump(FORMS))
    return {
        "study": {"name": "mine", "models": ["small", "large", "read"], "steps": ["validate"]},
        "models": {
            "small": {"source": "organism", "size": "s", "grammar": {"parts": ["kinds"], "strength": 1}},
            "large": {"source": "hub", "id": "owner/large", "chat": False, "parameters": 10**9, "dtype": "bfloat16"},
            "kept": {"source": "local", "path": "folder"},
            "read": {"source": "scores", "path": {"theirs": "scores.json"}},
            "texts": {"source": "generations", "path": "items.csv"},
        },
        "organisms": {
            "sizes": {"s": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}},
            "generation": {"system": None, "samples": 2},
        },
        "validate": {
            "tasks": {"kinds": {"reader": "items", "path": "items.csv", "forms": "forms.yaml"}},
            "methods": {"ranking": {"loss": "ranking"}, "dpo": {"loss": "dpo", "student": "validator"}},
            "neutral_text": "neutral.txt",
        },
    }


def put(config: Config, path: str, value: Any) -> Config:
    """Return the configuration with one key changed; None takes it away."""
    *outer, last = path.split("/")
    place = config
    for key in outer:
        place = place.setdefault(key, {})
    if value is None:
        place.pop(last)
    else:
        place[last] = value
    return config


def tuned(**keys: Any) -> Config:
    return {"source": "tuned", "base": "small", "task": "kinds", "split": "random", "method": "ranking", **keys}


def message(config: Config) -> str:
    """Return the one line that ``resolve`` refuses a configuration with."""
    with pytest.raises(InputError) as caught:
        resolve(config, {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Tasks and methods


def test_a_study_of_the_gap_needs_no_prompts_and_no_scorers(config: Config) -> None:
    resolved = resolve(config, {})
    assert resolved["study"]["prompt_sets"] == resolved["study"]["scorers"] == []
    assert resolved["validate"]["tasks"]["kinds"] == {
        "reader": "items",
        "path": "items.csv",
        "forms": "forms.yaml",
        "styles": None,
        "rank_among": "task",
        "lens_item": None,
    }
    assert resolved["validate"]["tuned"] is None


def test_a_study_that_names_tasks_has_these_alone(config: Config) -> None:
    task = config["validate"]["tasks"]["kinds"]
    config["validate"]["tasks"] = {"shipped": task, "kinds": task}
    assert set(resolve(config, {"validate": {"tasks": {"kinds": task}}})["validate"]["tasks"]) == {"kinds"}


def test_a_method_with_a_loss_replaces_the_catalogues_and_one_without_changes_it(config: Config) -> None:
    config["validate"]["methods"]["dpo"] |= {"loss": "supervised", "steps": 7}  # as Snakemake merges them
    changed = resolve(config, {"validate": {"methods": {"dpo": {"steps": 7}}}})["validate"]["methods"]["dpo"]
    assert (changed["student"], changed["steps"]) == ("validator", 7)
    written = {"loss": "supervised", "steps": 7}
    anew = resolve(config, {"validate": {"methods": {"dpo": written}}})["validate"]["methods"]["dpo"]
    assert (anew["student"], anew["steps"]) == ("both", 7)


def test_a_methods_defaults_are_those_of_the_library(config: Config) -> None:
    method = resolve(config, {})["validate"]["methods"]["ranking"]
    assert read_method(method, "method") == Method("ranking")


def test_the_schema_names_what_the_library_knows() -> None:
    assert set(get_args(TaskEntry.model_fields["reader"].annotation)) == set(READERS)
    assert set(get_args(Split)) == set(METHODS)


def test_paths_of_tasks_may_hold_environment_variables(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", ".")
    put(config, "validate/tasks/kinds/path", "$MINE/items.csv")
    put(config, "validate/neutral_text", "$MINE/neutral.txt")
    validate = resolve(config, {})["validate"]
    assert (validate["tasks"]["kinds"]["path"], validate["neutral_text"]) == ("./items.csv", "./neutral.txt")


def test_a_study_without_the_step_need_not_have_its_files(config: Config) -> None:
    config["study"] |= {"models": ["small"], "steps": ["ground"]}
    config["validate"]["tasks"]["kinds"]["path"] = "none.csv"
    assert "ground.axes" in message(config)


# Imported scores


def test_what_is_no_axis_is_a_task_in_a_study_of_both_steps(config: Config) -> None:
    config["models"]["both"] = {"source": "scores", "path": {"people": {"en": "a.json"}, "theirs": "scores.json"}}
    config["models"]["ranked"] = {"source": "scores", "path": {"people": "a.json"}}
    config["ground"] = {"axes": {"people": {}}}
    config["study"]["steps"] = ["ground", "validate"]
    used = {
        step: [name for name, entry in config["models"].items() if uses(step, entry, config)]
        for step in ("leak", "ground", "validate")
    }
    assert used == {
        "leak": ["small", "large", "kept", "texts"],
        "ground": ["small", "large", "kept", "both", "ranked"],
        "validate": ["small", "large", "kept", "read", "both"],
    }
    assert imported_scores("validate", config["models"]["both"], config) == {"theirs": "scores.json"}
    assert imported_scores("ground", config["models"]["both"], config) == {"people": {"en": "a.json"}}


def test_imported_scores_need_no_task_of_the_studys_own(config: Config) -> None:
    config["study"]["models"] = ["read"]
    del config["validate"]["tasks"]["kinds"]
    resolve(config, {})


# Tuned models


def test_a_tuned_model_is_loaded_and_prompted_as_its_base(config: Config) -> None:
    config["models"]["better"] = tuned(base="large", generation={"samples": 9})
    config["models"]["bred"] = tuned(base="small", generation={"samples": 1})
    config["study"]["models"] = ["better", "bred"]
    resolved = resolve(config, {})
    models = resolved["models"]
    assert resolved["study"]["models"] == ["large", "better", "small", "bred"]
    for key in ("chat", "chat_template_kwargs", "device", "dtype", "parameters", "quantization", "trust_remote_code"):
        assert models["better"][key] == models["large"][key]
        assert models["bred"][key] == models["small"][key]
    assert models["better"]["generation"] == {**models["large"]["generation"], "samples": 9}
    assert models["bred"]["generation"] == {**models["small"]["generation"], "samples": 1}
    assert models["bred"]["generation"]["system"] is None
    assert models["better"]["generation"]["system"] is not None
    assert is_generated(models["better"])
    assert all(uses(step, models["better"], resolved) for step in ("leak", "ground", "validate"))
    assert organisms(resolved) == ["small"]


def test_a_variant_of_a_tuned_model_shares_its_weights_unless_it_is_trained_otherwise(config: Config) -> None:
    config["models"] |= {
        "bred": tuned(),
        "bred-hot": {"extends": "bred", "generation": {"temperature": 2}},
        "bred-again": {"extends": "bred", "seed": 1},
    }
    config["study"]["models"] = ["small", "bred-hot", "bred-again"]
    models = resolve(config, {})["models"]
    assert {name: models[name]["weights"] for name in ("bred-hot", "bred-again")} == {
        "bred-hot": "bred",
        "bred-again": "bred-again",
    }
    assert set(models) == {"small", "bred", "bred-hot", "bred-again"}


def test_combinations_follow_their_base_in_the_order_written(config: Config) -> None:
    config["models"]["large"]["label"] = "Large"
    config["validate"]["tuned"] = {
        "models": ["large", "small", "kept"],
        "methods": ["ranking", "dpo"],
        "splits": ["random", "held_out"],
        "task": "kinds",
    }
    resolved = resolve(config, {})
    names = ("ranking.random", "ranking.held_out", "dpo.random", "dpo.held_out")
    expected = {base: [base, *(f"{base}.{name}" for name in names)] for base in ("small", "large", "kept")}
    assert resolved["study"]["models"] == [*expected["small"], *expected["large"], "read", *expected["kept"]]
    entry = resolved["models"]["large.dpo.held_out"]
    assert {key: entry[key] for key in ("base", "method", "split", "task", "seed", "label", "weights")} == {
        "base": "large",
        "method": "dpo",
        "split": "held_out",
        "task": "kinds",
        "seed": 0,
        "label": "Large, dpo, held_out",
        "weights": "large.dpo.held_out",
    }


def test_all_splits_are_the_default(config: Config) -> None:
    config["validate"]["tuned"] = {"models": ["small"], "methods": ["ranking"], "task": "kinds"}
    assert resolve(config, {})["study"]["models"][:4] == [
        "small", "small.ranking.random", "small.ranking.held_out", "small.ranking.disjoint",
    ]  # fmt: skip


def test_a_catalogues_tuned_model_may_be_of_a_task_that_the_study_lacks(config: Config) -> None:
    config["models"]["other"] = tuned(task="another")
    resolve(config, {})


# Mistakes


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "validate/tasks",
            {},
            "config: validate.tasks: got nothing; allowed: at least one task, to ask small",
        ),
        ("validate/tasks/kinds/reader", "csv", "config: validate.tasks.kinds.reader: got 'csv'; allowed: items,"),
        ("validate/tasks/kinds/path", "no.csv", "tasks.kinds.path: got 'no.csv'; allowed: a file that exists."),
        ("validate/tasks/kinds/forms", "no.yaml", "tasks.kinds.forms: got 'no.yaml'; allowed: a file that exists."),
        ("validate/tasks/kinds/styles", ["plane"], "styles: got 'plane'; allowed: plain. Did you mean 'plain'?"),
        ("validate/tasks/kinds/styles", [], "styles: got []; allowed: a list of names, each once, at lea"),
        ("validate/tasks/kinds/rank_among", "all", "rank_among: got 'all'; allowed: question, task."),
        ("validate/tasks/kinds/lens_item", 7, "lens_item: got 7; allowed: text of at least 1 character, or null. Put"),
        ("validate/tasks/a.items", {}, "config: validate.tasks: got 'a.items'; allowed: a name of letters, digits,"),
        ("validate/test_share", 1, "config: validate.test_share: got 1; allowed: a number above 0 and below 1."),
        ("validate/methods/dpo/loss", "dop", "methods.dpo.loss: got 'dop'; allowed: consistency, dpo, ranking, sup"),
        ("validate/methods/dpo/lora", {"rank": 2}, "methods.dpo.lora.rank: got an unknown key (2); allowed: alpha,"),
        ("validate/neutral_text", "no.txt", None),
        ("models/read/path", {"theirs": {"en": "scores.json"}}, 'models.read.path.theirs: got {"en": "scores.json"}'),
        ("models/read/path", {"theirs": "no.json"}, "models.read.path.theirs: got 'no.json'; allowed: a file that"),
        (
            "models/read/path",
            {"Their s": "no.json"},
            "config: models.read.path: got 'Their s'; allowed: a name of lett",
        ),
        ("study/models", ["texts"], "config: study.models: got texts; allowed: at least one model for the step valid"),
        ("study/models", ["bread"], "config: study.models: got 'bread'; allowed: bred, kept, large, read, small, tex"),
    ],
)
def test_a_mistake_is_one_line(config: Config, path: str, value: Any, expected: str | None) -> None:
    config["models"]["bred"] = tuned()
    changed = put(config, path, value)
    if expected is None:
        resolve(changed, {})  # only what is trained, and is no organism, needs it
    else:
        assert expected in message(changed)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"base": "smal"}, "config: models.bred.base: got 'smal'; allowed: kept, large, small. Did you mean 'small'?"),
        ({"base": "read"}, "config: models.bred.base: got 'read'; allowed: kept, large, small."),
        ({"base": "bred"}, "config: models.bred.base: got 'bred'; allowed: kept, large, small."),
        ({"task": "kind"}, "config: models.bred.task: got 'kind'; allowed: kinds. Did you mean 'kinds'?"),
        ({"method": "rank"}, "config: models.bred.method: got 'rank'; allowed: dpo, ranking. Did you mean 'ranking'?"),
        (
            {"split": "heldout"},
            "config: models.bred.split: got 'heldout'; allowed: disjoint, held_out, random. Did you",
        ),
        ({"chat": False}, "config: models.bred.chat: got an unknown key (false); allowed: base, description,"),
        ({"base": "large", "neutral": "x"}, "config: models.bred.neutral: got an unknown key ('x'); allowed: base,"),
    ],
)
def test_a_tuned_model_of_unknown_parts_is_refused(config: Config, keys: Config, expected: str) -> None:
    config["models"]["bred"] = tuned(**keys)
    config["study"]["models"] = ["bred"]
    assert message(config).startswith(expected)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("models", ["read"], "config: validate.tuned.models: got 'read'; allowed: kept, large, small."),
        ("methods", ["rank"], "config: validate.tuned.methods: got 'rank'; allowed: dpo, ranking. Did you mean"),
        ("task", "theirs", "config: validate.tuned.task: got 'theirs'; allowed: kinds."),
        ("splits", ["half"], "config: validate.tuned.splits.0: got 'half'; allowed: disjoint, held_out, random."),
        ("method", ["dpo"], "config: validate.tuned.method: got an unknown key"),
    ],
)
def test_a_combination_of_unknown_parts_is_refused(config: Config, key: str, value: Any, expected: str) -> None:
    written = {"models": ["small"], "methods": ["dpo"], "task": "kinds"}
    config["validate"]["tuned"] = {**written, key: value}
    assert message(config).startswith(expected)


def test_a_combination_with_the_name_of_another_model_is_refused(config: Config) -> None:
    config["models"]["small.dpo.random"] = tuned()
    config["validate"]["tuned"] = {"models": ["small"], "methods": ["dpo"], "task": "kinds"}
    assert message(config).startswith("config: validate.tuned: got the model 'small.dpo.random', the name of an entry")


@pytest.mark.parametrize(
    ("base", "changes", "found"),
    [
        ("large", {"quantization": {"load_in_4bit": True}}, '({"load_in_4bit": true})'),
        ("large", {"id": "owner/Large-GPTQ-Int4"}, "('owner/Large-GPTQ-Int4')"),
        ("kept", {}, '({"bits": 4})'),
    ],
)
def test_a_quantised_base_is_refused(config: Config, base: str, changes: Config, found: str) -> None:
    Path("folder/config.json").write_text(json.dumps({"quantization_config": {"bits": 4}}))
    config["models"][base] |= changes
    config["models"]["bred"] = tuned(base=base)
    config["study"]["models"] = ["bred"]
    expected = f"config: models.bred.base: got {base!r}, which is quantised {found}; allowed: an unquantised model"
    assert message(config).startswith(expected)


def test_neutral_text_is_needed_where_what_is_tuned_is_no_organism(config: Config) -> None:
    config["validate"]["neutral_text"] = "no.txt"
    config["models"] |= {"bred": tuned(), "better": tuned(base="large")}
    config["study"]["models"] = ["bred"]
    resolve(config, {})
    config["study"]["models"] = ["better"]
    assert message(config) == "config: validate.neutral_text: got 'no.txt'; allowed: a file that exists."


def test_tuned_models_need_their_task_in_other_steps_too(config: Config) -> None:
    config["study"] |= {"models": ["bred"], "steps": ["leak"], "prompt_sets": ["mine"], "scorers": ["lexical"]}
    config |= {"prompt_sets": {"mine": {"source": "table", "path": "items.csv"}}}
    config |= {"scorers": {"lexical": {"kind": "lexical"}}}
    config["models"]["bred"] = tuned()
    assert resolve(config, {})["study"]["models"] == ["small", "bred"]
    config["validate"]["tasks"]["kinds"]["path"] = "no.csv"
    assert "validate.tasks.kinds.path: got 'no.csv'" in message(config)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("generators: [", "forms.yaml, line 2: got invalid YAML ("),
        (
            "[]",
            "forms.yaml: got []; allowed: a mapping with description, generators, validators, styles.",
        ),
        (
            yaml.safe_dump({**FORMS, "styles": []}),
            "forms.yaml: styles: got []; allowed: a list of mappings, at least one",
        ),
        ("a,b\n" * 999, "forms.yaml: got 'a,b a,b"),
    ],
)
def test_damaged_forms_are_one_line_before_any_job_is_planned(config: Config, content: str, expected: str) -> None:
    Path("forms.yaml").write_text(content)
    assert message(config).startswith(expected)
    assert len(message(config)) < 400


def test_a_model_without_chat_needs_a_style_without_before_any_job_is_planned(config: Config) -> None:
    talk = {"id": "talk", "shots": 0, "chat": True, "template": "{prompt}"}
    Path("forms.yaml").write_text(yaml.safe_dump({**FORMS, "styles": [talk, *FORMS["styles"]]}))
    resolve(config, {})
    config["validate"]["tasks"]["kinds"]["styles"] = ["talk"]
    expected = "config: validate.tasks.kinds.styles: got talk, all for chats, but large has `chat: false`"
    assert message(config).startswith(expected)
    config["study"]["models"] = ["small", "read"]
    resolve(config, {})


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_settings_of_a_base_are_one_line(config: Config, content: str) -> None:
    Path("folder/config.json").write_text(content)
    config["models"]["bred"] = tuned(base="kept")
    config["study"]["models"] = ["bred"]
    assert message(config).startswith("folder/config.json: got ")


def test_planning_imports_nothing_heavy(root: Path) -> None:
    code = (
        "import sys, leakscope.configuration.resolving, leakscope.validate.tuning.methods;"
        "print([name for name in ('pandas', 'numpy', 'torch', 'scipy', 'peft') if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=root / "scripts", capture_output=True, text=True)
    assert process.stdout.strip() == "[]", process.stderr
