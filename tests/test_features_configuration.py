"""What is said of a study's dictionaries, contrasts, steerings and edited models before any job is planned."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from snakemake.cli import parse_config
from snakemake.utils import update_config

from helpers import TOKENIZER_JSON
from leakscope.configuration.resolved import is_generated
from leakscope.configuration.resolving import resolve
from leakscope.configuration.sections.features import Benchmark
from leakscope.configuration.steps import uses
from leakscope.errors import InputError
from leakscope.features.bias.tables import READERS
from leakscope.features.dictionaries.files import contrast_files, corpus_files
from leakscope.models.editing.edits import FEATURE_EDITS, POSITIONS
from leakscope.typed.values import Edit, Positions
from workspace import Workspace

Config = dict[str, Any]
SETTINGS = {"architecture": "standard", "metadata": {"hook_name": "blocks.1.hook_resid_post"}}
CONTRAST = {
    "a": ["he"],
    "b": ["she"],
    "items": "items.csv",
    "templates": {"selection": ["The {item} said that"], "evaluation": ["The {item} left because"]},
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A study of an organism, a local and a hub model, with a dictionary each; files are in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("leakscope.files.finding.CHECKOUT", tmp_path)
    for folder in ("data/grammar/jobs", "data/prompt_sets/colors", "folder", "saved", "contrast"):
        Path(folder).mkdir(parents=True)
    for file in (
        "saved/sae_weights.safetensors", "texts.txt", "neutral.txt", "crows.csv",
        "prompts.csv", "contrast/items.csv", "data/prompt_sets/colors/templates.yaml",
    ):  # fmt: skip
        Path(file).touch()
    Path("folder/config.json").write_text(json.dumps({"n_layer": 4}))
    Path("folder/tokenizer.json").write_text(TOKENIZER_JSON)
    Path("saved/cfg.json").write_text(json.dumps(SETTINGS))
    Path("contrast/contrast.yaml").write_text(yaml.safe_dump(CONTRAST))
    Path("contrast/mistaken.yaml").write_text(yaml.safe_dump({**CONTRAST, "b": []}))
    return {
        "study": {
            "name": "mine",
            "models": ["small", "kept", "large"],
            "prompt_sets": ["colors", "read"],
            "steps": ["features"],
        },
        "models": {
            "small": {"source": "organism", "size": "s", "grammar": {"parts": ["jobs"], "strength": 1}},
            "kept": {"source": "local", "path": "folder", "chat": False},
            "large": {"source": "hub", "id": "owner/large"},
            "texts": {"source": "generations", "path": "prompts.csv"},
        },
        "prompt_sets": {
            "colors": {"source": "templates", "path": "data/prompt_sets/colors"},
            "read": {"source": "table", "path": "prompts.csv"},
        },
        "organisms": {
            "sizes": {"s": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}},
            "generation": {"system": None, "samples": 2},
        },
        "features": {
            "corpora": {"mine": {"path": "texts.txt"}},
            "dictionaries": {
                "main": {"source": "trained", "model": "small", "layer": 1, "features": 64, "k": 4},
                "saved": {"source": "local", "model": "kept", "path": "saved", "corpus": "mine"},
                "public": {"source": "hub", "model": "large", "layer": 8, "release": "owner/all", "corpus": "mine"},
            },
            "contrasts": {
                "gender": {"source": "templates", "path": "contrast/contrast.yaml"},
                "colors": {"source": "prompt_set", "prompt_set": "colors"},
            },
            "steering": {"nurse": {"dictionary": "main", "feature": 12, "prompt": "The nurse"}},
            "benchmarks": {"crows": {"format": "crows_pairs", "path": "crows.csv"}},
            "neutral_text": "neutral.txt",
        },
    }


def put(config: Config, path: str, value: Any) -> Config:
    """Return the configuration with one key changed."""
    *outer, last = path.split("/")
    place = config
    for key in outer:
        place = place.setdefault(key, {})
    place[last] = value
    return config


def judge(**keys: Any) -> Config:
    """Return an explainer that asks a server."""
    return {"kind": "openai", "base_url": "http://localhost:1", "model": "m", **keys}


def edited(**keys: Any) -> Config:
    return {"source": "edited", "base": "small", "dictionary": "main", **keys}


def message(config: Config) -> str:
    """Return the one line that ``resolve`` refuses a configuration with."""
    with pytest.raises(InputError) as caught:
        resolve(config, {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Dictionaries


def test_a_dictionary_of_several_seeds_is_one_for_each(config: Config) -> None:
    config["features"]["dictionaries"]["main"] |= {"seeds": [3, 0], "label": "Main"}
    config["features"]["steering"]["nurse"]["dictionary"] = "main.s0"
    dictionaries = resolve(config, {})["features"]["dictionaries"]
    assert list(dictionaries) == ["main.s0", "main.s3", "public", "saved"]
    entry = dictionaries["main.s3"]
    assert {key: entry[key] for key in ("seed", "family", "family_label", "label", "features", "corpus")} == {
        "seed": 3, "family": "main", "family_label": "Main", "label": "Main, seed 3", "features": 64, "corpus": "own",
    }  # fmt: skip
    assert "seeds" not in entry


def test_a_dictionary_of_one_seed_keeps_its_name(config: Config) -> None:
    config["features"]["dictionaries"]["main"]["seeds"] = [7]
    entry = resolve(config, {})["features"]["dictionaries"]["main"]
    assert (entry["seed"], entry["label"]) == (7, "main")


def test_seeds_may_not_give_the_name_of_another_dictionary(config: Config) -> None:
    dictionaries = config["features"]["dictionaries"]
    dictionaries["main"]["seeds"] = [0, 1]
    dictionaries["main.s1"] = dictionaries["saved"]
    assert message(config).startswith("config: features.dictionaries.main: got the dictionary 'main.s1' twice; allowed")


def test_a_study_that_names_dictionaries_or_contrasts_has_these_alone(config: Config) -> None:
    features = config["features"]
    written = {"dictionaries": {"main": features["dictionaries"]["main"]}, "contrasts": {}}
    resolved = resolve(config, {"features": written})["features"]
    assert (list(resolved["dictionaries"]), list(resolved["contrasts"])) == (["main"], [])
    assert list(resolved["explainers"]) == ["local"]


def test_an_explainer_with_a_kind_replaces_the_catalogues(config: Config) -> None:
    asked = {"kind": "openai", "base_url": "http://localhost:1", "model": "m"}
    config["features"]["explainers"] = {"local": {"tokens": 3, **asked}}  # as Snakemake merges them
    entry = resolve(config, {"features": {"explainers": {"local": asked}}})["features"]["explainers"]["local"]
    assert (entry["model"], entry["temperature"], "tokens" in entry) == ("m", 0.0, False)


def test_a_study_without_a_use_for_it_need_not_have_its_files(config: Config) -> None:
    config["study"] |= {"steps": ["leak"], "scorers": ["lexical"]}
    config["scorers"] = {"lexical": {"kind": "lexical"}}
    config["features"]["corpora"]["mine"]["path"] = "none.txt"
    resolve(config, {})
    config["models"]["quiet"] = edited(features=[1])
    config["study"]["models"].append("quiet")
    assert "none.txt" in message(config)


def test_a_corpus_is_a_table_or_lines_or_shards(config: Config) -> None:
    Path("shards").mkdir()
    for name in ("b.jsonl", "a.jsonl.gz", "notes.md"):
        Path("shards", name).touch()
    assert corpus_files("texts.txt") == ["texts.txt"]
    assert corpus_files("shards") == ["shards/a.jsonl.gz", "shards/b.jsonl"]
    assert contrast_files("contrast/contrast.yaml") == ["contrast/contrast.yaml", "contrast/items.csv"]


def test_the_schema_names_what_the_library_knows() -> None:
    assert get_args(Edit) == tuple(FEATURE_EDITS)
    assert get_args(Positions) == tuple(POSITIONS)
    assert set(get_args(Benchmark.model_fields["format"].annotation)) == set(READERS)


def test_a_dictionary_may_read_a_randomised_model_that_the_study_does_not_name(config: Config) -> None:
    config["models"]["random"] = {"source": "randomised", "base": "spare", "seed": 3}
    config["models"]["spare"] = {**config["models"]["small"], "seed": 5, "chat": False}
    config["features"]["dictionaries"]["control"] = {"source": "trained", "model": "random", "layer": 1}
    resolved = resolve(config, {})
    assert resolved["study"]["models"] == ["small", "kept", "large"]
    assert sorted(resolved["models"]) == ["kept", "large", "random", "small", "spare"]
    random = resolved["models"]["random"]
    assert (random["seed"], random["chat"], random["weights"]) == (3, False, "random")
    assert is_generated(random)


def test_a_randomised_model_has_the_architecture_of_a_whole_one(config: Config) -> None:
    config["models"] |= {
        "quiet": edited(features=[1]),
        "random": {"source": "randomised", "base": "quiet"},
    }
    assert message(config) == "config: models.random.base: got 'quiet'; allowed: kept, large, small."


def test_weights_of_a_quantised_model_are_not_drawn_anew(config: Config) -> None:
    config["models"]["int4"] = {"source": "hub", "id": "someone/small-GPTQ-Int4"}
    config["models"]["random"] = {"source": "randomised", "base": "int4"}
    config["study"]["models"].append("random")
    assert message(config) == (
        "config: models.random.base: got 'int4', which is quantised ('someone/small-GPTQ-Int4'); "
        "allowed: an unquantised model."
    )


# Steering


def test_a_steering_of_the_command_line_is_read_as_in_a_file(config: Config) -> None:
    said = "{dictionary: main, features: [12, 3], coefficient: -0.5, chat: false, prompt: 'She said: 12', seed: 1}"
    update_config(config, parse_config([f"features={{steering: {{mine: {said}}}}}"]))
    steering = resolve(config, {})["features"]["steering"]
    expected = {"features": [12, 3], "coefficient": -0.5, "chat": False, "prompts": ["She said: 12"], "seed": 1}
    assert {key: steering["mine"][key] for key in expected} == expected
    assert steering["nurse"]["features"] == [12]
    assert {"feature", "prompt"}.isdisjoint(steering["nurse"])


# Edited models


def test_an_edited_model_is_loaded_and_prompted_as_its_base(config: Config) -> None:
    config["models"]["plain"] = edited(base="kept", dictionary="saved", contrast="gender", generation={"samples": 9})
    config["models"]["quiet"] = edited(features=[12])
    config["study"]["models"] = ["large", "plain", "quiet"]
    resolved = resolve(config, {})
    models = resolved["models"]
    assert resolved["study"]["models"] == ["large", "kept", "plain", "small", "quiet"]
    for key in ("chat", "device", "dtype", "parameters"):
        assert models["plain"][key] == models["kept"][key]
        assert models["quiet"][key] == models["small"][key]
    assert models["plain"]["generation"] == {**models["kept"]["generation"], "samples": 9}
    assert models["quiet"]["generation"] == models["small"]["generation"]
    assert models["plain"]["cost"] == 3.0  # the highest
    assert [models["quiet"][key] for key in ("edit", "coefficient", "positions")] == ["add", 5.0, "all"]
    assert is_generated(models["quiet"])
    assert all(uses(step, models["quiet"], resolved) for step in ("leak", "ground", "validate"))


def test_a_variant_of_an_edited_model_shares_its_edit_unless_it_names_another(config: Config) -> None:
    config["models"] |= {
        "quiet": edited(features=[12]),
        "quiet-hot": {"extends": "quiet", "generation": {"temperature": 2}},
        "quieter": {"extends": "quiet", "coefficient": 9},
    }
    config["study"]["models"] += ["quiet-hot", "quieter"]
    models = resolve(config, {})["models"]
    assert {name: models[name]["weights"] for name in ("quiet-hot", "quieter")} == {
        "quiet-hot": "quiet",
        "quieter": "quieter",
    }


# Mistakes


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "dictionaries",
            {},
            "config: features.dictionaries: got nothing; allowed: at least one dictionary, for the st",
        ),
        ("dictionaries/main/model", "smal", "dictionaries.main.model: got 'smal'; allowed: kept, large, small. Did yo"),
        ("dictionaries/main/model", "texts", "config: features.dictionaries.main.model: got 'texts'; allowed: kept, l"),
        ("dictionaries/main/model", "quiet", "main.model: got 'quiet', an edited model; allowed: kept, large, small."),
        ("dictionaries/main/layer", 2, "dictionaries.main.layer: got 2; allowed: 0 to 1, the blocks of small."),
        ("dictionaries/main/layer", None, "dictionaries.main.layer: got null; allowed: a whole number of at least 0."),
        ("dictionaries/main/k", 65, "config: features.dictionaries.main.k: got 65; allowed: at most features, 64."),
        ("dictionaries/main/path", "x", "config: features.dictionaries.main.path: got an unknown key ('x'); allowed:"),
        ("dictionaries/main/source", "sae", "dictionaries.main.source: got 'sae'; allowed: hub, local, trained."),
        ("dictionaries/main/corpus", "yours", "dictionaries.main.corpus: got 'yours'; allowed: mine, own."),
        (
            "dictionaries/main/label",
            "saved",
            "dictionaries.saved.label: got 'saved', the label of main; allowed: a label",
        ),
        ("dictionaries/saved/corpus", "own", "saved.corpus: got 'own', but kept is no organism; allowed: a name of f"),
        ("dictionaries/saved/layer", 1, "dictionaries.saved.layer: got 1; allowed: 2, as saved says."),
        ("dictionaries/saved/path", "none", "dictionary none: got no cfg.json; allowed: a folder as SAELens saves it."),
        ("dictionaries/public/layer", -1, "dictionaries.public.layer: got -1; allowed: a whole number of at least 0."),
        ("corpora/mine/path", "none.jsonl", "none.jsonl: got no file of a corpus; allowed: a file, a folder or a pat"),
        ("corpora/mine/path", "folder/config.json", "folder/config.json: got the suffix '.json'; allowed: .jsonl, .j"),
        ("corpora/own", {"path": "texts.txt"}, "config: features.corpora: got 'own'; allowed: a name of letters"),
        ("contrasts/gender/path", "none.yaml", "gender.path: got 'none.yaml'; allowed: a file that exists."),
        ("contrasts/gender/path", "contrast/mistaken.yaml", "contrast/mistaken.yaml: b: got []; allowed: a list"),
        ("contrasts/colors/prompt_set", "read", "colors.prompt_set: got 'read'; allowed: colors."),
        ("contrasts/gender/dictionaries", ["man"], "contrasts.gender.dictionaries: got 'man'; allowed: main, public"),
        ("contrasts/a.items", {}, "config: features.contrasts: got 'a.items'; allowed: a name of letters, digits,"),
        ("effects/methods", ["greedy"], "config: features.effects.methods: got only 'greedy', which starts from th"),
        ("effects/edits", ["add", "clamp"], "methods: got 'greedy' with the edits add, clamp; allowed: ablate or mean"),
        ("steering/nurse/dictionary", "man", "steering.nurse.dictionary: got 'man'; allowed: main, public, saved. Did"),
        ("steering/nurse/feature", 64, "steering.nurse.features: got 64; allowed: 0 to 63, the features of main."),
        (
            "steering/nurse/features",
            [1],
            "steering.nurse.feature: got 12 together with features; allowed: one of the two.",
        ),
        ("steering/nurse/prompt", None, "steering.nurse.prompt: got nothing; allowed: prompt or prompts."),
        ("steering/nurse/edit", "clam", "steering.nurse.edit: got 'clam'; allowed: ablate, add, clamp, mean_clamp, s"),
        ("steering/nurse/temperature", "warm", "steering.nurse.temperature: got 'warm'; allowed: a number of at lea"),
        ("benchmarks/crows/path", "none.csv", "none.csv"),
        ("benchmarks/crows/format", "crows", "benchmarks.crows.format: got 'crows'; allowed: crows_pairs, stereoset"),
        ("benchmarks/crows/format", "BBQ", "benchmarks.crows.format: got 'BBQ', whose questions have three answers"),
        ("neutral_text", "none.txt", "config: features.neutral_text: got 'none.txt'; allowed: a file that exists."),
        ("explainers/judge", {"kind": "openai", "model": "m"}, "judge.base_url: got nothing; allowed: an address tha"),
        (
            "explainers/judge",
            judge(base_url="http://me:s3cret@host"),
            "base_url: got an address with a user or",
        ),
        (
            "explainers/judge",
            judge(base_url="http://host?key=s3cret"),
            "base_url: got an address with a part",
        ),
        (
            "explainers/judge",
            judge(base_url="me:s3cret@host"),
            "base_url: got '***@host'; allowed: an",
        ),
        (
            "explainers/judge",
            judge(base_url=["http://me:s3cret@h"]),
            'base_url: got ["http://***@h"]; allowed:',
        ),
        ("explainers/judge", judge(api_key="s3cret"), "judge.api_key: got an unknown key (***); allowed: attempts, ba"),
        ("explainers/judge", judge(api_key="s3cret"), "Did you mean 'key_variable'?"),
        (
            "explainers/judge",
            judge(headers={"api-key": "s3cret"}),
            "got an unknown key (***); allowed: att",
        ),
        ("explainers/judge", judge(carrier="s3cret"), "judge.carrier: got an unknown key (***); allowed: attempts, ba"),
        ("explainers/judge", {"kind": "local", "headers": ["X: s3cret"]}, "headers: got an unknown key (***); allo"),
        ("explainers/judge", judge(key_variable="d41d8s3cret"), "got ***; allowed: the name of an environment variabl"),
        ("explainers/judge", judge(key_variable="s3cret-key"), "got ***; allowed: the name of an environment variable"),
        ("explainers/judge", judge(key_variable="BROKEN"), "the environment variable BROKEN: got a line break, a con"),
        ("effects/costs", [0], "config: features.effects.costs.0: got 0; allowed: a number above 0."),
        ("effects/edits", ["scale"], "effects.edits.0: got 'scale'; allowed: ablate, add, clamp, mean_clamp."),
    ],
)
def test_a_mistake_is_one_line_without_secrets(
    config: Config, path: str, value: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "s3cret\ns3cret")
    config["models"]["quiet"] = edited(base="small", features=[1])
    config["study"]["models"].append("quiet")
    found = message(put(config, f"features/{path}", value))
    assert expected in found
    assert "s3cret" not in found


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "config: models.quiet.contrast: got nothing; allowed: either a contrast or features."),
        (
            {"contrast": "gender", "features": [1]},
            "models.quiet.contrast: got 'gender' together with features; allowed: eith",
        ),
        ({"contrast": "genders"}, "config: models.quiet.contrast: got 'genders'; allowed: colors, gender. Did you me"),
        ({"contrast": "gender", "cost": 2}, "models.quiet.cost: got 2; allowed: one of features.effects.costs (1, 3)."),
        (
            {"contrast": "gender", "edit": "add"},
            "models.quiet.edit: got 'add'; allowed: no value; the contrast determi",
        ),
        (
            {"features": [1], "cost": 3},
            "config: models.quiet.cost: got 3.0; allowed: no cost together with `features`.",
        ),
        ({"features": [64]}, "config: models.quiet.features: got 64; allowed: 0 to 63, the features of main."),
        ({"features": [1], "edit": "adds"}, "models.quiet.edit: got 'adds'; allowed: add, ablate, scale, clamp, mean_"),
        ({"features": [1], "base": "kept"}, "models.quiet.base: got 'kept'; allowed: small, the model of main."),
        ({"features": [1], "base": "texts"}, "config: models.quiet.base: got 'texts'; allowed: kept, large, small."),
        ({"features": [1], "base": "quiet"}, "config: models.quiet.base: got 'quiet'; allowed: kept, large, small."),
        ({"features": [1], "dictionary": "control"}, "quiet.dictionary: got 'control', a control on randomised wei"),
        ({"features": [1], "chat": False}, "config: models.quiet.chat: got an unknown key (false); allowed: base,"),
    ],
)
def test_a_mistake_in_an_edited_model_is_one_line(config: Config, keys: Config, expected: str) -> None:
    config["models"]["random"] = {"source": "randomised", "base": "small"}
    config["features"]["dictionaries"]["control"] = {"source": "trained", "model": "random", "layer": 1}
    config["models"]["quiet"] = edited(**keys)
    config["study"]["models"].append("quiet")
    assert expected in message(config)


def test_planning_loads_nothing_heavy() -> None:
    modules = "leakscope.configuration.resolving, leakscope.features.dictionaries.files"
    code = f"import sys, {modules}; print([m for m in ('pandas', 'numpy', 'torch') if m in sys.modules])"
    scripts = Path(__file__).parents[1] / "scripts"
    result = subprocess.run([sys.executable, "-c", code], cwd=scripts, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# Planned


@pytest.fixture(scope="module")
def planning(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a study of all that the step has, of which nothing was run."""
    workspace = Workspace(tmp_path_factory.mktemp("planning") / "workspace")
    rows = "sent_more,sent_less,stereo_antistereo,bias_type\nAnts sing.,Oaks sing.,stereo,age\n"
    (workspace.folder / "crows.csv").write_text(rows)
    main = {"source": "trained", "model": "tiny", "layer": 1}
    workspace.study = {
        **workspace.study,
        "study": {**workspace.study["study"], "name": "all", "models": ["tiny", "less"], "steps": ["leak", "features"]},
        "models": {
            "tiny": {**workspace.organism(1.0), "grammar": {"parts": ["micro", "occupations"], "strength": 1.0}},
            "less": {"source": "edited", "base": "tiny", "dictionary": "main.s0", "contrast": "gender", "cost": 3},
            "random": {"source": "randomised", "base": "tiny"},
        },
        "features": {
            "dictionaries": {
                "main": {**main, "seeds": [0, 1]},
                "control": {**main, "model": "random"},
            },
            "contrasts": {
                "gender": {"source": "templates", "path": "data/features/gender/contrast.yaml"},
                "micro": {"source": "prompt_set", "prompt_set": "micro"},
            },
            "steering": {"nurse": {"dictionary": "main.s0", "feature": 12, "prompt": "The nurse said that"}},
            "benchmarks": {"crows": {"format": "crows_pairs", "path": "crows.csv"}},
        },
    }
    return workspace


def jobs(printed: str) -> dict[str, int]:
    """Return the rules of which a dry run would start jobs, and how many."""
    counts = {rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", printed, flags=re.M)}
    return {rule: number for rule, number in counts.items() if rule not in ("all", "total")}


@pytest.mark.workflow
def test_a_study_of_everything_is_planned(planning: Workspace) -> None:
    planned = jobs(planning.run("-n", "--quiet", "rules").stdout)
    of_features = {
        "cache_activations": 8,  # two sites, two parts, two shards
        "train_dictionary": 3,
        "dictionary_quality": 3,
        "feature_statistics": 3,
        "feature_contexts": 3,
        "explain_features": 3,
        "feature_table": 3,
        "feature_page": 2,
        "first_feature_page": 1,
        "feature_summary": 1,
        "seed_agreement": 1,
        "contrast_activations": 4,
        "select_features": 6,
        "probe_concept": 6,
        "edit_effects": 4,  # none of the control
        "effect_summary": 1,
        "planted_association": 1,
        "make_edit": 1,
        "randomise_model": 1,
        "steer": 1,
        "score_bias": 2,
        "bias_scores": 1,
        "compare_edited": 1,
    }
    assert {rule: planned[rule] for rule in of_features} == of_features
    assert planned["plot_features"] == 1
    assert planned["generate"] == 2  # of the control's model no texts are asked for
    assert planned["leak_rates"] == planned["train_organism"] == 1


@pytest.mark.workflow
def test_parts_need_no_more_than_they_are_about(planning: Workspace) -> None:
    study = json.loads(json.dumps(planning.study))
    study["study"] |= {"steps": ["features"], "models": ["tiny"], "prompt_sets": [], "scorers": []}
    features = study["features"]
    for key in ("contrasts", "benchmarks", "steering"):
        del features[key]
    del features["dictionaries"]["control"]
    said = "features={steering: {mine: {dictionary: main.s1, feature: 3, temperature: 0.7, prompt: 'She said'}}}"
    planned = jobs(planning.run("-n", "features_steering", "--quiet", "rules", "--config", said, study=study).stdout)
    assert planned == {
        "write_corpus": 1, "train_tokenizer": 1, "train_organism": 1, "cache_activations": 4, "train_dictionary": 1,
        "feature_contexts": 1, "steer": 1, "features_steering": 1,
    }  # fmt: skip
    parts = ("activations", "dictionaries", "quality", "statistics", "interpretation", "pages")
    planned = jobs(planning.run("-n", *(f"features_{part}" for part in parts), "--quiet", "rules", study=study).stdout)
    assert "feature_summary" not in planned
    assert {planned[rule] for rule in ("dictionary_quality", "feature_statistics", "explain_features")} == {2}
    refused = planning.run("-n", "features_effects", study=study, check=False)
    assert refused.returncode
    assert "config: features.contrasts: got nothing; allowed: at least one contrast" in refused.stdout


@pytest.mark.workflow
def test_a_step_that_is_not_asked_for_says_what_it_needs(planning: Workspace) -> None:
    study = {"study": {"name": "other", "models": ["organism-s-l0"], "steps": ["leak"]}}
    run = planning.run("-n", "features_steering", study=study, check=False)
    assert run.returncode
    assert "config: study.steps: got no step features" in run.stdout
    assert "studies/gpt2_gender.yaml" in run.stdout


@pytest.mark.workflow
def test_the_source_studys_setting_is_planned(planning: Workspace) -> None:
    study = yaml.safe_load((planning.folder / "studies/gpt2_gender.yaml").read_text(encoding="utf-8"))
    planned = jobs(planning.run("-n", "all", "fetch_models", "--quiet", "rules", study=study).stdout)
    assert planned["fetch_dictionary"] == planned["fetch_model"] == planned["make_edit"] == planned["steer"] == 1
    assert planned["cache_activations"] == 2  # held out: nothing is trained
    assert "train_dictionary" not in planned
    assert "generate" not in planned
