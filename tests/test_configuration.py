"""The configuration: merged, extended, checked, completed."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from helpers import TOKENIZER_JSON, write_wordnet_corpora
from leakscope.configuration.layers import lay, shipped
from leakscope.configuration.reference import written_files
from leakscope.configuration.resolved import generation_settings, is_generated, is_on_hub, organisms
from leakscope.configuration.resolving import resolve
from leakscope.configuration.sections.configuration import Configuration
from leakscope.errors import InputError
from leakscope.files.reading_yaml import read_yaml
from leakscope.typed.schema import json_schema

ROOT = Path(__file__).parents[1]
Config = dict[str, Any]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A small configuration whose files are all in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("leakscope.files.finding.CHECKOUT", tmp_path)
    for folder in ("data/grammar/leak", "data/prompt_sets/colors", "models/tiny"):
        Path(folder).mkdir(parents=True)
    for file in (
        "data/prompt_sets/colors/templates.yaml",
        "prompts.csv",
        "texts.csv",
    ):
        Path(file).touch()
    Path("models/tiny/config.json").write_text("{}")
    Path("models/tiny/tokenizer.json").write_text(TOKENIZER_JSON)
    return {
        "study": {"name": "mine", "models": ["small"], "prompt_sets": ["colors"], "scorers": ["lexical"]},
        "models": {
            "small": {"source": "organism", "size": "s", "grammar": {"parts": ["leak"], "strength": 0.4}},
            "qwen": {"source": "hub", "id": "owner/qwen"},
            "tiny": {"source": "local", "path": "models/tiny"},
            "authors": {"source": "generations", "path": "texts.csv"},
        },
        "prompt_sets": {
            "colors": {"source": "templates", "path": "data/prompt_sets/colors"},
            "brought": {"source": "table", "path": "prompts.csv", "samples": 2},
        },
        "scorers": {"lexical": {"kind": "lexical"}, "sbert": {"kind": "sentence_transformers", "model": "x/y"}},
        "organisms": {
            "generation": {"system": None, "template": "{prompt}"},
            "sizes": {"s": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}},
        },
    }


def put(config: Config, path: str, value: Any) -> Config:
    """Return ``config`` with the value at a slash-separated path set."""
    *parents, last = path.split("/")
    inner = config
    for key in parents:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return config


def message(config: Config, overwrite: Config | None = None) -> str:
    """Return the one line that ``resolve`` refuses a configuration with."""
    with pytest.raises(InputError) as caught:
        resolve(config, overwrite or {})
    text = str(caught.value)
    assert "\n" not in text
    return text


# Merging


def test_an_entry_with_its_own_source_replaces_the_catalogues_entry(config: Config) -> None:
    own = {"source": "generations", "path": "texts.csv"}
    config["study"]["models"] = ["qwen"]
    config["models"]["qwen"] |= {"dtype": "float16", **own}  # as Snakemake merges them: `id` is still there
    resolved = resolve(config, {"models": {"qwen": own}})
    assert resolved["models"]["qwen"]["path"] == "texts.csv"
    assert not {"id", "dtype"} & set(resolved["models"]["qwen"])


def test_a_merged_entry_of_two_sources_is_refused_when_nothing_replaces_it(config: Config) -> None:
    config["models"]["qwen"] |= {"source": "generations", "path": "texts.csv"}
    assert message(config).startswith("config: models.qwen.id: got an unknown key ('owner/qwen'); allowed: ")


def test_an_entry_without_source_changes_keys_of_the_catalogues_entry(config: Config) -> None:
    config["models"]["small"]["seed"] = 7
    assert resolve(config, {"models": {"small": {"seed": 7}}})["models"]["small"]["grammar"]["strength"] == 0.4


def test_an_entry_with_extends_replaces_the_catalogues_entry(config: Config) -> None:
    config["study"]["models"] = ["tiny"]
    config["models"]["tiny"]["extends"] = "qwen"
    entry = resolve(config, {"models": {"tiny": {"extends": "qwen"}}})["models"]["tiny"]
    assert (entry["source"], entry["id"]) == ("hub", "owner/qwen")


def test_a_prompt_set_and_a_scorer_are_replaced_as_well(config: Config) -> None:
    table, lexical = {"source": "table", "path": "prompts.csv"}, {"kind": "lexical"}
    config["prompt_sets"]["colors"] = {"source": "table", "path": "prompts.csv", "samples": 9}
    config["scorers"]["sbert"] |= lexical
    config["study"]["scorers"] = ["sbert"]
    resolved = resolve(config, {"prompt_sets": {"colors": table}, "scorers": {"sbert": lexical}})
    assert resolved["prompt_sets"]["colors"]["samples"] is None
    assert resolved["scorers"]["sbert"] == {"kind": "lexical"}


# Variants


def test_a_chain_of_variants_merges_deeply_and_shares_the_roots_weights(config: Config) -> None:
    config["models"] |= {
        "warm": {"extends": "qwen", "generation": {"temperature": 0.8, "samples": 3}},
        "hot": {"extends": "warm", "generation": {"temperature": 1.5}},
    }
    config["study"]["models"] = ["hot"]
    resolved = resolve(config, {})
    assert list(resolved["models"]) == ["hot", "qwen"]
    hot = resolved["models"]["hot"]
    assert (hot["generation"]["temperature"], hot["generation"]["samples"]) == (1.5, 3)
    assert (hot["weights"], resolved["models"]["qwen"]["weights"]) == ("qwen", "qwen")
    assert "extends" not in hot


def test_a_variant_that_changes_what_decides_the_weights_has_its_own(config: Config) -> None:
    config["models"] |= {
        "strong": {"extends": "small", "grammar": {"strength": 1}},
        "strong-cold": {"extends": "strong", "generation": {"temperature": 0}},
        "same": {"extends": "strong-cold", "grammar": {"strength": 0.4}, "seed": 0},
    }
    config["study"]["models"] = ["strong", "strong-cold", "same"]
    models = resolve(config, {})["models"]
    assert models["strong"]["grammar"] == {"parts": ["leak"], "strength": 1.0}
    assert {name: entry["weights"] for name, entry in models.items()} == {
        "same": "small",
        "small": "small",
        "strong": "strong",
        "strong-cold": "strong",
    }


def test_a_variant_does_not_inherit_label_and_description(config: Config) -> None:
    config["models"]["small"] |= {"label": "Small", "description": "The smallest."}
    config["models"]["hot"] = {"extends": "small"}
    config["study"]["models"] = ["small", "hot"]
    models = resolve(config, {})["models"]
    assert (models["small"]["label"], models["hot"]["label"]) == ("Small", "hot")
    assert "description" not in models["hot"]


def test_a_cycle_of_variants_is_refused(config: Config) -> None:
    config["models"] |= {"a": {"extends": "b"}, "b": {"extends": "a"}}
    assert message(config) == (
        "config: models.b.extends: got the cycle a -> b -> a; allowed: a chain that ends at an entry with a `source`."
    )


def test_a_variant_of_itself_is_refused(config: Config) -> None:
    config["models"]["a"] = {"extends": "a"}
    assert "got the cycle a -> a" in message(config)


def test_an_unknown_parent_is_refused_with_the_nearest_name(config: Config) -> None:
    config["models"]["hot"] = {"extends": "qwne"}
    assert message(config).startswith("config: models.hot.extends: got 'qwne'; allowed: authors, hot, qwen,")
    assert message(config).endswith("Did you mean 'qwen'?")


def test_a_parent_that_is_no_name_is_refused(config: Config) -> None:
    config["models"]["hot"] = {"extends": ["qwen"]}
    assert message(config) == 'config: models.hot.extends: got ["qwen"]; allowed: the name of another model.'


def test_a_variant_that_changes_the_source_is_refused(config: Config) -> None:
    config["models"]["mine"] = {"extends": "qwen", "source": "local", "path": "models/tiny"}
    assert message(config) == (
        "config: models.mine.source: got 'local'; allowed: 'hub', the source of qwen, which it extends."
    )


# The schema


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "models/small/generation",
            {"temperatur": 0.7},
            "config: models.small.generation.temperatur: got an unknown key (0.7); allowed: batch_size, "
            "control_samples, max_new_tokens, repetition_penalty, samples, seed, shards, stop, system, temperature, "
            "template, top_k, top_p. Did you mean 'temperature'?",
        ),
        ("models/small/temperature", 0.7, " Did you mean 'generation.temperature'?"),
        ("study/step", ["leak"], 'config: study.step: got an unknown key (["leak"]); allowed: models, name, '),
        (
            "prompt_set",
            {},
            "config: prompt_set: got an unknown key ({}); allowed: batch_size, container, features, ",
        ),
        ("models/qwen/size", "s", "config: models.qwen.size: got an unknown key ('s'); allowed: chat, "),
        ("scorers/lexical/model", "x", "got an unknown key ('x'); allowed: description, kind."),
        (
            "models/qwen/source",
            "hubb",
            "models.qwen.source: got 'hubb'; allowed: adapter, edited, endpoint, generations, hub, local, mitigated, "
            "organism, package, randomised, scores, tuned. Did you mean 'hub'?",
        ),
        (
            "models/qwen/source",
            "openai",
            "got 'openai'; allowed: adapter, edited, endpoint, generations, hub, local, mitigated, organism, ",
        ),
        (
            "models/qwen",
            {},
            "models.qwen.source: got nothing; allowed: organism, hub, local, package, adapter, ",
        ),
        ("models/qwen", "owner/qwen", "config: models.qwen: got 'owner/qwen'; allowed: a mapping with a source: organ"),
        ("models/tiny", {"source": "local"}, "config: models.tiny.path: got nothing; allowed: text of at least "),
        ("models", ["qwen"], 'config: models: got ["qwen"]; allowed: a mapping.'),
        ("models", None, "config: models: got null; allowed: a mapping."),
        ("scorers/lexical/kind", "cosine", "config: scorers.lexical.kind: got 'cosine'; allowed: bert_score, "),
        (
            "prompt_sets/colors/source",
            "csv",
            "config: prompt_sets.colors.source: got 'csv'; allowed: insertions, table",
        ),
        ("study/steps", ["grounds"], "got 'grounds'; allowed: features, ground, leak, trace, validate. Did"),
        ("study/steps", ["ground"], "config: ground.axes: got nothing; allowed: at least one axis"),
        ("study/scorers", [], "config: study.scorers: got nothing; allowed: a list of names"),
        ("study/models", "small", "config: study.models: got 'small'; allowed: a list of names, each once, at least"),
        ("study/models", [], "config: study.models: got []; allowed: a list of names, each once, at least one."),
        ("study/prompt_sets", ["colors", "colors"], "config: study.prompt_sets: got 'colors' twice; allowed: a list"),
        ("study/name", "My study", "config: study.name: got 'My study'; allowed: a name of letters, digits,"),
        ("study/name", "models", "config: study.name: got 'models'; allowed: "),
        ("study/name", 2024, "config: study.name: got 2024; allowed: a name of letters, digits, "),
        ("models/Qwen 2", {"source": "hub", "id": "x"}, "config: models: got 'Qwen 2'; allowed: a name of letters"),
        ("prompt_sets/a.candidates", {"source": "table", "path": "x"}, "config: prompt_sets: got 'a.candidates'; "),
        ("models/2", {"source": "hub", "id": "x"}, None),
        ("models/Qwen2.5-0.5B", {"source": "hub", "id": "x"}, None),
        ("study/name", "Store", "config: study.name: got 'Store'; allowed: a name of letters, digits, "),
        ("prompt_sets/a.Candidates", {"source": "table", "path": "x"}, "config: prompt_sets: got 'a.Candidates'; "),
        ("study/name", "mine\n", r"config: study.name: got 'mine\n'; allowed: a name of letters, digits,"),
        ("study/name", "m" * 101, "beginning with a letter or digit, other than 'models' and 'store', at most 100 cha"),
        ("study/name", "m" * 100, None),
        ("models/logs\n", {"source": "hub", "id": "x"}, r"config: models: got 'logs\n'; allowed: a name of letters"),
        ("models/" + "m" * 101, {"source": "hub", "id": "x"}, "digit, at most 100 characters."),
        ("ground/languages", ["en\n"], r"config: ground.languages.0: got 'en\n'; allowed: a language code such as en."),
        ("models/qwen/id", "owner/qwen\n", r"got 'owner/qwen\n'; allowed: a name on the hub, such as owner/model."),
        (
            "models/small/label",
            "<b>Small</b>",
            "config: models.small.label: got '<b>Small</b>'; allowed: one line without '<', '>' and control char",
        ),
        ("models/small/label", "a\nb", r"config: models.small.label: got 'a\nb'; allowed: one line without '<', '>'"),
        ("models/small/label", "a\u2028b", "config: models.small.label: got 'a\\u2028b'; allowed: one line without"),
        ("models/small/label", "a" * 201, "and control characters, at most 200 characters, or null."),
        ("models/small/label", "Größe 模型, α = 5 % & more", None),
        ("leak/primary/scorers", ["none"], "config: leak.primary.scorers: got 'none'; allowed: "),
        ("leak/primary/models", [], "config: leak.primary.models: got []; allowed: a list of names, each once, at"),
        ("leak/matrix", ["<i>"], "config: leak.matrix.0: got '<i>'; allowed: one line without '<', '>' and control"),
        (
            "features/dictionaries/d",
            {"source": "local", "model": "small", "path": "x", "label": "<b>"},
            "config: features.dictionaries.d.label: got '<b>'; allowed: one line without '<', '>' and control chara",
        ),
        (
            "features/steering/s/prompt",
            "He said </SCRIPT><img>",
            "steering.s.prompt: got 'He said </SCRIPT><img>'; allowed: text without </script, <!-- and control",
        ),
        ("models/small/generation/template", "<!-- {prompt}", "allowed: text without </script, <!-- and control"),
        ("models/small/generation/template", "<b>{prompt}</b>\n\t", None),
        ("models/tiny/path", "a\0b", r"config: models.tiny.path: got 'a\x00b'; allowed: text without </script, "),
        ("models/small/chat_template_kwargs", {"</script>": 1}, "config: models.small.chat_template_kwargs: got '</sc"),
        ("generation/samples", 0, "config: generation.samples: got 0; allowed: a whole number of at least 1."),
        ("generation/samples", 2.5, "config: generation.samples: got 2.5; allowed: a whole number of at least 1."),
        ("generation/samples", True, "config: generation.samples: got true; allowed: a whole number of at least 1."),
        (
            "generation/temperature",
            "hot",
            "config: generation.temperature: got 'hot'; allowed: a number of at least 0.",
        ),
        ("generation/temperature", "-5e-1", "config: generation.temperature: got '-5e-1'; allowed: a number of at "),
        ("generation/samples", "1.5", "config: generation.samples: got '1.5'; allowed: a whole number of at least 1."),
        ("generation/temperature", "0x1", "config: generation.temperature: got '0x1'; allowed: a number of at "),
        ("generation/temperature", "1e999", "config: generation.temperature: got '1e999'; allowed: a number"),
        ("generation/temperature", float("inf"), "config: generation.temperature: got inf; allowed: a finite number."),
        (
            "generation/top_p",
            0,
            "config: generation.top_p: got 0; allowed: a number above 0 and at most 1, or 'model'.",
        ),
        ("generation/top_p", "modle", "got 'modle'; allowed: a number above 0 and at most 1, or 'model'."),
        (
            "generation/top_k",
            -1,
            "config: generation.top_k: got -1; allowed: a whole number of at least 0, or 'model'.",
        ),
        ("generation/stop", "sentences", "allowed: none, sentence, whole_sentence. Did you mean 'sentence'?"),
        ("generation/stop", None, "config: generation.stop: got null; allowed: sentence, whole_sentence, none."),
        (
            "generation/template",
            "Go on:",
            "config: generation.template: got 'Go on:'; allowed: text that contains {pro",
        ),
        ("leak/level", 95, "config: leak.level: got 95; allowed: a number above 0 and below 1, or null."),
        ("models/small/grammar/strength", 40, "got 40; allowed: a number of at least 0 and at most 1."),
        ("models/small/grammar/parts", ["../leak"], "config: models.small.grammar.parts.0: got '../leak'; allowed: "),
        (
            "models/qwen/revision",
            20240101,
            "config: models.qwen.revision: got 20240101; allowed: text of at least 1 cha",
        ),
        ("models/qwen/revision", 20240101, " Put it in quotes."),
        ("models/qwen/dtype", "float64", "got 'float64'; allowed: auto, bfloat16, float16, float32."),
        ("models/qwen/device", "gpu", "got 'gpu'; allowed: auto, cpu, cuda."),
        ("models/qwen/chat", "yes", "config: models.qwen.chat: got 'yes'; allowed: true or false."),
        ("models/qwen/weights", "small", "config: models.qwen.weights: got an unknown key ('small'); allowed: chat,"),
        (
            "models/qwen/quantization",
            {"load_in_2bit": True},
            "config: models.qwen.quantization.load_in_2bit: got an unk",
        ),
        ("models/authors/path", ["texts.csv"], 'got ["texts.csv"]; allowed: a path, or a mapping of prompt set to pa'),
        (
            "models/authors/generation",
            {},
            "config: models.authors.generation: got an unknown key ({}); allowed: called, d",
        ),
        (
            "scorers/sbert/model",
            "package:nothing",
            "allowed: a name on the hub, a folder, or package:<module>/<folder>.",
        ),
    ],
)
def test_a_mistake_gets_one_line_with_key_value_and_what_is_allowed(
    config: Config, path: str, value: Any, expected: str | None
) -> None:
    changed = put(config, path, value)
    if expected is None:
        resolve(changed, {})
    else:
        assert expected in message(changed)


@pytest.mark.timeout(10)
def test_aliases_that_stand_for_more_than_any_study_holds_are_refused_at_once(config: Config) -> None:
    value: Any = ["x"]
    for _ in range(40):  # 9⁴⁰ values
        value = [value] * 9
    expected = (
        "config: study.models: got more than 100,000 values, including those of aliases; allowed: at most 100,000 in"
    )
    assert message(put(config, "study/models", value)).startswith(expected)


@pytest.mark.timeout(10)
def test_lists_inside_each_other_are_refused_before_python_gives_up(config: Config) -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    expected = "config: study.models: got more than 50 lists or mappings inside each other; allowed: at most 50."
    assert message(put(config, "study/models", value)) == expected
    itself: list[Any] = []
    itself.append(itself)
    assert message(put(config, "study/models", itself)) == expected


def test_a_missing_key_is_named_with_what_is_allowed(config: Config) -> None:
    del config["models"]["small"]["grammar"]["strength"]
    assert message(config) == (
        "config: models.small.grammar.strength: got nothing; allowed: a number of at least 0 and at most 1."
    )


def test_a_misspelt_required_key_is_reported_as_unknown_not_as_missing(config: Config) -> None:
    config["models"]["tiny"] = {"source": "local", "paht": "models/tiny"}
    assert message(config).startswith("config: models.tiny.paht: got an unknown key ('models/tiny'); allowed: ")
    assert message(config).endswith("Did you mean 'path'?")


def test_a_key_that_yaml_does_not_read_as_text_is_refused(config: Config) -> None:
    config["models"][1.5] = {"source": "hub", "id": "x"}
    assert message(config) == "config: models.1.5: got the key 1.5; allowed: text. Put it in quotes."


def test_a_long_value_is_shortened_in_the_message(config: Config) -> None:
    line = message(put(config, "generation/temperature", "x\n" * 500))
    assert "..." in line
    assert len(line) < 150


def test_entries_that_the_study_does_not_name_are_checked_against_the_schema_too(config: Config) -> None:
    assert "models.qwen.dtyp" in message(put(config, "models/qwen/dtyp", "auto"))


# Names and files


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "study/models",
            ["smal"],
            "config: study.models: got 'smal'; allowed: authors, qwen, small, tiny. Did you mean",
        ),
        ("study/prompt_sets", ["color"], "config: study.prompt_sets: got 'color'; allowed: brought, colors. Did you m"),
        (
            "study/scorers",
            ["bert"],
            "config: study.scorers: got 'bert'; allowed: lexical, sbert. Did you mean 'sbert'?",
        ),
        ("models/small/size", "xl", "config: models.small.size: got 'xl'; allowed: s."),
        ("models/small/grammar/parts", ["leek"], "config: models.small.grammar.parts: got 'leek'; allowed: leak. Did"),
        (
            "organisms/sizes/s/hidden_size",
            60,
            "config: organisms.sizes.s.hidden_size: got 60; allowed: a multiple of 8, twice num_attention_heads.",
        ),
        (
            "prompt_sets/colors/path",
            "data/prompt_sets",
            "config: prompt_sets.colors.path: got 'data/prompt_sets'; allowed: a folder that holds templates.yaml.",
        ),
    ],
)
def test_a_name_or_file_that_is_not_there_gets_one_line(config: Config, path: str, value: Any, expected: str) -> None:
    assert message(put(config, path, value)).startswith(expected)


def test_a_prompt_table_that_is_not_there_gets_one_line(config: Config) -> None:
    config["study"]["prompt_sets"] = ["brought"]
    config["prompt_sets"]["brought"]["path"] = "prompt.csv"
    assert message(config) == "config: prompt_sets.brought.path: got 'prompt.csv'; allowed: a file that exists."


def test_a_model_folder_that_is_not_there_gets_one_line(config: Config) -> None:
    config["study"]["models"] = ["tiny"]
    config["models"]["tiny"]["path"] = "models/none"
    assert message(config) == "config: models.tiny.path: got 'models/none'; allowed: a folder that exists."


@pytest.mark.parametrize(
    ("file", "allowed"), [("config.json", "with config.json"), ("tokenizer.json", "with a tokenizer (tokenizer.json, ")]
)
def test_an_incomplete_model_folder_gets_one_line(config: Config, file: str, allowed: str) -> None:
    config["study"]["models"] = ["tiny"]
    resolve(config, {})
    Path("models/tiny", file).unlink()
    assert f"config: models.tiny.path: got 'models/tiny'; allowed: a model folder {allowed}" in message(config)


def test_absolute_paths_are_allowed(config: Config, tmp_path: Path) -> None:
    path = str(tmp_path / "models" / "tiny")
    config["study"]["models"] = ["tiny"]
    config["models"]["tiny"]["path"] = path
    assert resolve(config, {})["models"]["tiny"]["path"] == path


def test_text_written_elsewhere_needs_a_file_for_each_prompt_set_of_the_study(config: Config) -> None:
    config["study"] |= {"models": ["authors"], "prompt_sets": ["colors", "brought"]}
    resolve(config, {})  # one path serves all
    config["models"]["authors"]["path"] = {"colors": "texts.csv"}
    assert message(config) == (
        "config: models.authors.path.brought: got nothing; allowed: a file for each of the study's prompt sets "
        "(colors, brought); there are files for colors."
    )
    config["models"]["authors"]["path"] = {"colors": "texts.csv", "brought": "gone.csv"}
    assert (
        message(config)
        == "config: models.authors.path.brought: got 'gone.csv'; allowed: a file that exists, or a folder of logs."
    )


def test_files_of_entries_that_the_study_does_not_name_need_not_be_there(config: Config) -> None:
    config["models"]["tiny"]["path"] = "models/none"
    config["prompt_sets"]["brought"]["path"] = "none.csv"
    resolve(config, {})


def test_two_models_of_a_study_cannot_have_one_label(config: Config) -> None:
    config["models"]["qwen"]["label"] = "small"
    config["study"]["models"] = ["small", "qwen"]
    assert (
        message(config)
        == "config: models.qwen.label: got 'small', the label of small; allowed: a label that no other model has."
    )


# Defaults and the result


def test_a_models_generation_overrides_the_organisms_which_overrides_the_general_one(config: Config) -> None:
    config["generation"] = {"system": "Be brief.", "max_new_tokens": 20, "seed": 3}
    config["organisms"]["generation"] |= {"max_new_tokens": 30, "batch_size": 8}
    config["models"]["small"]["generation"] = {"batch_size": 4}
    config["models"]["qwen"]["generation"] = {"batch_size": 2}
    config["study"]["models"] = ["small", "qwen"]
    models = resolve(config, {})["models"]
    assert models["small"]["generation"] == {
        "batch_size": 4,
        "control_samples": None,
        "max_new_tokens": 30,
        "repetition_penalty": "model",
        "samples": 5,
        "seed": 3,
        "shards": "auto",
        "stop": "sentence",
        "system": None,
        "temperature": 0.5,
        "template": "{prompt}",
        "top_k": "model",
        "top_p": "model",
    }
    assert models["qwen"]["generation"]["batch_size"] == 2
    assert models["qwen"]["generation"]["system"] == "Be brief."


def test_a_study_goes_without_a_model_and_all_that_are_made_from_it(config: Config) -> None:
    config["models"] |= {
        "warm": {"extends": "qwen", "generation": {"temperature": 1.0}},
        "emptied": {"source": "randomised", "base": "warm"},
    }
    config["study"]["models"] = ["small", "qwen", "warm", "emptied"]
    assert resolve(config, {"without": ["qwen"]})["study"]["models"] == ["small", "warm", "emptied"]
    assert resolve(config, {"without": ["warm"]})["study"]["models"] == ["small", "qwen"]
    assert resolve(config, {"without": []})["study"]["models"] == ["small", "qwen", "warm", "emptied"]
    assert "without: got 'qwne'; allowed: " in message(config, {"without": ["qwne"]})
    assert "which leaves no model" in message(config, {"without": ["small", "qwen", "warm"]})


@pytest.mark.parametrize("study", ["aligned_pairs", "conditions", "occupations", "smollm2", "taxonomy"])
def test_every_shipped_study_goes_on_without_any_of_its_models(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other keys name models, too: pairs, dictionaries, counts."""
    monkeypatch.chdir(tmp_path)
    write_wordnet_corpora(tmp_path)
    written = read_yaml(ROOT / f"studies/{study}.yaml")
    models = resolve(shipped(ROOT), written)["study"]["models"]
    for model in models:
        try:
            kept = resolve(shipped(ROOT), written, {"without": [model]})["study"]["models"]
        except InputError as error:
            # The one whose corpus is counted.
            assert (study, model) == ("conditions", "conditions-m"), str(error)  # noqa: PT017
            assert "which leaves no model" in str(error)  # noqa: PT017
            continue
        assert model not in kept
        assert kept == [name for name in models if name in kept]
        assert kept


def test_defaults_are_those_of_the_entrys_own_source(config: Config) -> None:
    config["study"] |= {"models": ["qwen", "authors"], "prompt_sets": ["colors", "brought"]}
    resolved = resolve(config, {})
    qwen = {key: value for key, value in resolved["models"]["qwen"].items() if key != "generation"}
    assert qwen == {
        "chat": True,
        "chat_template_kwargs": {},
        "device": "auto",
        "gguf_file": None,
        "dtype": "auto",
        "id": "owner/qwen",
        "label": "qwen",
        "parameters": None,
        "quantization": None,
        "revision": "main",
        "source": "hub",
        "thinking": None,
        "trust_remote_code": False,
        "weights": "qwen",
    }
    assert not {"revision", "chat", "size"} & set(resolved["models"]["authors"])
    assert resolved["prompt_sets"]["colors"] == {
        "control_samples": None,
        "language": "en",
        "concept_language": None,
        "path": "data/prompt_sets/colors",
        "place": "user",
        "samples": None,
        "source": "templates",
    }
    assert resolved["study"]["steps"] == ["leak"]
    assert resolved["leak"] == {
        "decimals": 3,
        "level": 0.95,
        "matrix": ["color-to-color", "2"],
        "name_permutations": 9999,
        "permutations": 65536,
        "primary": {"categories": ["all"], "models": None, "prompt_sets": None, "scorers": None},
        "truth_texts": 2000,
    }
    assert resolved["organisms"]["vocab_size"] == 1024


def test_only_the_entries_that_the_study_names_are_returned(config: Config) -> None:
    resolved = resolve(config, {})
    assert {key: list(resolved[key]) for key in ("models", "prompt_sets", "scorers")} == {
        "models": ["small"],
        "prompt_sets": ["colors"],
        "scorers": ["lexical"],
    }


def test_the_arguments_are_left_as_they_are(config: Config) -> None:
    config["models"]["hot"] = {"extends": "small", "generation": {"temperature": 2}}
    config["study"]["models"] = ["hot"]
    overwrite = {"models": {"hot": copy.deepcopy(config["models"]["hot"])}}
    before = copy.deepcopy((config, overwrite))
    resolved = resolve(config, overwrite)
    resolved["models"]["small"]["grammar"]["parts"].append("changed")
    assert (config, overwrite) == before


def test_the_result_does_not_depend_on_the_order_of_keys_nor_on_how_a_number_is_written(config: Config) -> None:
    def backwards(value: Any) -> Any:
        return {key: backwards(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    def build(zero: float, two: float) -> Config:
        changed = copy.deepcopy(config)
        changed["models"]["small"]["grammar"]["strength"] = zero
        changed["models"]["small"]["generation"] = {"temperature": two, "samples": two}
        return changed

    assert repr(resolve(build(0, 2), {})) == repr(resolve(backwards(build(0.0, 2.0)), {}))


def test_the_result_is_made_of_plain_builtins(config: Config) -> None:
    def types(value: Any) -> Iterator[type]:
        yield type(value)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
            yield from types(item)

    assert set(types(resolve(config, {}))) <= {dict, list, str, int, float, bool, type(None)}


# Helpers for rules


def test_text_of_organisms_hub_and_local_models_is_generated(config: Config) -> None:
    config["study"]["models"] = ["small", "qwen", "tiny", "authors"]
    models = resolve(config, {})["models"]
    assert {name for name, entry in models.items() if is_generated(entry)} == {"small", "qwen", "tiny"}


def test_organisms_are_listed_in_the_order_of_the_study(config: Config) -> None:
    config["models"]["hot"] = {"extends": "small"}
    config["study"]["models"] = ["small", "qwen", "hot"]
    assert organisms(resolve(config, {})) == ["small", "hot"]
    config["study"]["models"] = ["hot", "small"]
    assert organisms(resolve(config, {})) == ["hot", "small"]
    config["study"]["models"] = ["qwen"]
    assert organisms(resolve(config, {})) == []


def test_a_prompt_sets_samples_override_those_of_the_model(config: Config) -> None:
    config["models"]["small"]["generation"] = {"samples": 7}
    config["study"]["prompt_sets"] = ["colors", "brought"]
    resolved = resolve(config, {})
    # All that decides a text, and so not how many jobs share the work.
    own = dict(resolved["models"]["small"]["generation"])
    del own["shards"], own["control_samples"]
    assert generation_settings(resolved, "small", "colors") == own
    assert generation_settings(resolved, "small", "brought")["samples"] == 2
    assert resolved["models"]["small"]["generation"]["samples"] == 7


def test_texts_after_controls_are_overridden_as_samples_are(config: Config) -> None:
    config["generation"] = {"control_samples": 10}
    config["organisms"]["generation"] |= {"control_samples": 15}
    config["models"]["equal"] = {"extends": "small", "generation": {"control_samples": None}}
    config["models"]["same"] = {"extends": "small", "generation": {"control_samples": 5}}
    config["models"]["many"] = {"extends": "small", "generation": {"control_samples": 20}}
    config["study"] |= {"models": ["small", "qwen", "equal", "same", "many"], "prompt_sets": ["colors", "brought"]}
    config["prompt_sets"]["brought"] |= {"control_samples": 6}
    resolved = resolve(config, {})

    def found(prompt_set: str) -> list[int | None]:
        names = config["study"]["models"]
        return [generation_settings(resolved, name, prompt_set).get("control_samples") for name in names]

    assert found("colors") == [15, 10, None, None, 20]  # of those that have as many as `samples`, nothing is said
    assert found("brought") == [6] * 5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"generation/control_samples": 12},
            "config: generation.control_samples: got 12; allowed: a multiple of 5, the `samples` of small on colors.",
        ),
        (
            {"generation/control_samples": 10, "organisms/generation/control_samples": 4},
            "config: organisms.generation.control_samples: got 4; allowed: a multiple of 5, the `samples` of small on",
        ),
        (
            {"models/small/generation": {"samples": 3, "control_samples": 10}},
            "config: models.small.generation.control_samples: got 10; allowed: a multiple of 3, the `samples` of small",
        ),
        (
            {"prompt_sets/colors/control_samples": 12},
            "config: prompt_sets.colors.control_samples: got 12; allowed: a multiple of 5, the `samples` of small on",
        ),
        (
            {"models/small/generation": {"control_samples": 25}, "prompt_sets/colors/samples": 10},
            "config: models.small.generation.control_samples: got 25; allowed: a multiple of 10, the `samples` of sma",
        ),
        (
            {
                "study/models": ["authors"],
                "study/prompt_sets": ["brought"],
                "prompt_sets/brought/control_samples": 3,
            },
            "config: prompt_sets.brought.control_samples: got 3; allowed: a multiple of 2, the `samples` of brought.",
        ),
    ],
)
def test_texts_after_a_control_are_a_multiple_of_those_after_a_test(
    config: Config, changes: dict[str, Any], expected: str
) -> None:
    for path, value in changes.items():
        put(config, path, value)
    assert message(config).startswith(expected)


# The schema and what is shipped


def properties_of(schema: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every property in a schema with where it is."""
    if isinstance(schema, dict):
        for key, described in schema.get("properties", {}).items():
            yield f"{where}/{key}", described
        for key, inner in schema.items():
            yield from properties_of(inner, f"{where}/{key}")


def test_every_key_says_what_it_means() -> None:
    found = list(properties_of(json_schema(Configuration)))
    assert len(found) > 200
    # What tells kinds of entries apart heads the table of its kind.
    assert [where for where, inner in found if "description" not in inner and "const" not in inner] == []


def test_every_mapping_of_the_schema_says_which_keys_it_allows() -> None:
    """A mapping without `additionalProperties` would let a misspelt key pass."""

    def mappings(schema: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                yield where, schema
            for key, inner in schema.items():
                yield from mappings(inner, f"{where}/{key}")

    found = dict(mappings(json_schema(Configuration), ""))
    assert [where for where, inner in found.items() if "additionalProperties" not in inner] == []
    assert {where.rsplit("/", 1)[1] for where, inner in found.items() if inner["additionalProperties"] is True} == {
        "chat_template_kwargs",
        "extra_body",
    }


def test_the_schema_is_a_schema_and_shipped_studies_fit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Editors check studies by it: what pydantic accepts has to fit. Variants, with `extends`, are left out."""
    schema = dict(json_schema(Configuration))
    Draft202012Validator.check_schema(schema)
    for path in (ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))):
        written = lay(shipped(ROOT), read_yaml(path))
        written["models"] = {name: entry for name, entry in written["models"].items() if "extends" not in entry}
        assert [error.message for error in Draft202012Validator(schema).iter_errors(written)] == [], path


def test_what_is_written_from_the_sections_is_in_step_with_them() -> None:
    stale = [path for path, text in written_files().items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert stale == [], "run `python -m leakscope.configuration.reference`"
    pages = {path.name for path in (ROOT / "docs" / "configuration").glob("*.md")} - {"README.md"}
    assert pages == {Path(path).name for path in written_files() if path.startswith("docs/configuration")}


def test_a_number_in_text_is_a_number_and_null_in_text_is_null(config: Config) -> None:
    """All is text that `--config 'a={b: 0.9}'` gives, and so is 5e-1 to YAML."""
    config["generation"] = {"temperature": "5e-1", "samples": "3", "top_p": ".9", "top_k": "1e1"}
    config["leak"] = {"level": "null"}
    config["validate"] = {"layers": "false"}
    resolved = resolve(config)
    found = resolved["generation"]
    assert [found[key] for key in ("temperature", "samples", "top_p", "top_k")] == [0.5, 3, 0.9, 10]
    assert [type(found[key]) for key in ("samples", "top_k", "temperature")] == [int, int, float]
    assert (resolved["leak"]["level"], resolved["validate"]["layers"]) == (0.95, False)


def test_a_key_of_the_top_level_holds_in_every_step_that_has_none_of_its_own(config: Config) -> None:
    config |= {"level": 0.9, "seed": 3, "ground": {"level": 0.8}}
    config["models"]["small"]["generation"] = {"seed": None}
    resolved = resolve(config)
    assert {step: resolved[step]["level"] for step in ("leak", "ground", "features")} == {
        "leak": 0.9,
        "ground": 0.8,
        "features": 0.9,
    }
    assert resolved["models"]["small"]["generation"]["seed"] == resolved["validate"]["seed"] == 3
    assert resolved["models"]["small"]["seed"] == 0  # decides its weights


def test_importing_the_module_loads_nothing_heavy() -> None:
    code = (
        "import sys, leakscope.configuration.resolving;"
        "print([m for m in ('pandas', 'numpy', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "scripts", capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_environment_variables_in_paths_are_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.chdir(root)
    (tmp_path / "prompts.csv").write_text("prompt\n", encoding="utf-8")
    entry = {"source": "table", "path": "$STUDY_FOLDER/prompts.csv"}
    overwrite = {"study": {"prompt_sets": ["mine"]}, "prompt_sets": {"mine": entry}}
    monkeypatch.setenv("STUDY_FOLDER", str(tmp_path))
    resolved = resolve(shipped(root), overwrite)
    assert resolved["prompt_sets"]["mine"]["path"] == str(tmp_path / "prompts.csv")
    monkeypatch.delenv("STUDY_FOLDER")
    with pytest.raises(InputError, match="the environment variable STUDY_FOLDER is not set"):
        resolve(shipped(root), overwrite)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"kind": "lexical"}, False),
        ({"kind": "bert_score", "model": "package:some_package/model"}, False),
        ({"kind": "bert_score", "model": "distilbert-base-uncased"}, True),
        ({"kind": "bert_score", "model": "."}, False),
    ],
)
def test_an_encoder_is_on_the_hub_unless_it_is_here(entry: dict[str, Any], expected: bool) -> None:
    assert is_on_hub(entry) is expected


def test_all_mistakes_of_a_study_are_named_at_once(config: Config) -> None:
    """Misspelt keys, values out of bounds, unknown names and missing files, each once, and nothing that follows."""
    config["models"] |= {"gone": {"source": "local", "path": "models/none"}, "broken": {"source": "hub", "idd": "x/y"}}
    config["models"]["variant"] = {"extends": "broken", "chat": False}
    config["study"] |= {"models": ["small", "gone", "broken", "smal"], "scorers": ["lexical"]}
    config |= {"level": 95, "leak": {"decimal": 2}}
    with pytest.raises(InputError) as caught:
        resolve(config)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "models.broken.idd",
        "models.variant.idd",
        "leak.decimal",
        "level",
        "study.models",
        "models.gone.path",
    ]
    assert lines[4].startswith("config: study.models: got 'smal'; allowed: authors, gone, ")


def test_an_endless_list_of_mistakes_is_cut(config: Config) -> None:
    config["models"] |= {f"m{number}": {"source": "hub", "id": ""} for number in range(70)}
    with pytest.raises(InputError) as caught:
        resolve(config)
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1]) == (51, "... and 20 more.")


@pytest.mark.parametrize("catalogue", ["models", "prompt_sets", "scorers"])
def test_names_that_differ_in_case_alone_are_refused(config: Config, catalogue: str) -> None:
    names = config["study"][catalogue]
    config[catalogue][names[0].upper()] = config[catalogue][names[0]]
    assert resolve(config)["study"][catalogue] == names  # what is not selected costs nothing
    names.append(names[0].upper())
    assert message(config) == (
        f"config: study.{catalogue}: got {names[0]!r} and {names[1]!r}, which are the same on some file systems; "
        "allowed: names that differ in more than case."
    )


def test_an_upper_case_name_is_kept_as_it_is(config: Config) -> None:
    config["models"]["Qwen2.5-0.5B"] = {"source": "hub", "id": "x/y"}
    config["study"]["models"] = ["Qwen2.5-0.5B"]
    assert list(resolve(config)["models"]) == ["Qwen2.5-0.5B"]
    config["study"]["models"] = ["qwen2.5-0.5b"]
    assert message(config).endswith("Did you mean 'Qwen2.5-0.5B'?")


def test_a_model_that_is_called_by_its_id_or_folder_is_told_its_name_or_its_entry(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine/model").mkdir(parents=True)
    config["models"]["known"] = {"source": "hub", "id": "Owner/Known"}
    said = {
        "owner/known": "a name of `models`; the entry with this id is known.",
        "Owner/Other-1B": "a name of `models`, such as my-model with the entry `my-model: {source: hub, id: "
        "Owner/Other-1B}`.",
        "mine/model": "a name of `models`, such as my-model with the entry `my-model: {source: local, path: "
        "mine/model}`.",
    }
    for name, allowed in said.items():
        config["study"]["models"] = [name]
        assert message(config) == f"config: study.models: got {name!r}; allowed: {allowed}"


def test_the_files_of_static_embeddings_are_looked_for_before_any_work_and_never_fetched(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERE", ".")
    entry = {"kind": "sentence_transformers", "model": "weights.safetensors", "tokenizer": "$HERE/tokens.json"}
    config["scorers"]["sbert"] = entry
    config["study"]["scorers"] = ["sbert"]
    Path("weights.safetensors").touch()
    with pytest.raises(
        InputError, match=r"scorers\.sbert\.tokenizer: got .*; allowed: a file of a tokenizer that exists"
    ):
        resolve(config, {})
    Path("tokens.json").touch()
    found = resolve(config, {})["scorers"]["sbert"]
    assert not is_on_hub(found)
    assert (found["model"], found["tokenizer"]) == ("weights.safetensors", "./tokens.json")


def test_a_model_that_extends_an_entry_without_keys_is_one_line(config: Config) -> None:
    config["models"] |= {"empty": None, "variant": {"extends": "empty"}}
    config["study"]["models"] = ["variant"]
    assert (
        "models.variant.extends: got 'empty', whose entry is null; allowed: a model whose entry has keys."
        in message(config)
    )


def test_the_look_of_figures_is_checked_before_any_work(config: Config) -> None:
    Path("good.mplstyle").write_text("axes.prop_cycle: cycler('color', ['000000', '999999'])\n")
    Path("bad.mplstyle").write_text("axes.linewidth: wide\n")
    assert resolve(put(config, "figures/style", "good.mplstyle"), {})["figures"]["style"] == "good.mplstyle"
    assert resolve(put(config, "figures/style", "ggplot"), {})["figures"]["width"] == {"double": 7.0, "single": 3.4}
    for figures, line in (
        ({"style": "gplot"}, "style: got 'gplot'; allowed: a file that ends in .mplstyle, or one of "),
        ({"style": "none.mplstyle"}, "style: got 'none.mplstyle'; allowed: a file that exists."),
        (
            {"style": "bad.mplstyle"},
            "style: got 'bad.mplstyle'; allowed: a file of matplotlib's settings. Matplotlib says: ",
        ),
        ({"font": {"family": "No Sans"}}, "font.family: got 'No Sans'; allowed: a family that is installed ("),
        ({"font": {"size": 20}}, "font.size: got 20; allowed: a number "),
        ({"width": {"single": 6, "double": 5}}, "width.single: got 6; allowed: at most double, 5."),
    ):
        assert message({**config, "figures": figures}).startswith(f"config: figures.{line}")
