"""A model and prompts that somebody names on the command line become a study's file, and the study is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from helpers import TOKENIZER_JSON, byte_tokenizer, save_model, small_config
from leakscope.configuration.layers import shipped
from leakscope.errors import InputError
from leakscope.workflow.chosen import choose_model, choose_prompts, has_chat_template, short_name
from leakscope.workflow.new_study import NewStudy, new_study, write_study
from workspace import Workspace

TABLE = """prompt_id,control_id,concept,prompt
hat,,,I had lunch. My new hat is
hat-banana,hat,a banana,I had a banana for lunch. My new hat is
hat-cherry,hat,a cherry,I had a cherry for lunch. My new hat is
car,,,I had lunch. My new car is
car-banana,car,a banana,I had a banana for lunch. My new car is
car-cherry,car,a cherry,I had a cherry for lunch. My new car is
"""


@pytest.fixture
def config(root: Path) -> dict[str, Any]:
    return shipped(root)


@pytest.fixture
def folder(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a table of prompts, and a model's files without its weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(root / "data")
    (tmp_path / "my.csv").write_text(TABLE)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/config.json").write_text("{}")
    (tmp_path / "tiny/tokenizer.json").write_text(TOKENIZER_JSON)
    return tmp_path


def named(config: dict[str, Any], model: str = "", prompts: str = "", name: str = "") -> NewStudy:
    return new_study(model, prompts, name, config)


def content(study: NewStudy) -> dict[str, Any]:
    return yaml.safe_load(study.text)


# ------------------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("my", "my"),
        ("models/tiny", "models-tiny"),
        # The digits are the first of `printf '%s' <given> | sha256sum`.
        ("/data/run 3/tiny", "run-3-tiny-9f0b1d"),
        ("./../tiny", "tiny-fade27"),
        ("Tiny", "Tiny"),
        ("Colors", "Colors-88c45d"),
        ("colors", "colors-5f40ad"),
        ("corpora", "corpora-9066aa"),
        ("模型", "c98e11"),
        ("a" * 43, "a" * 42 + "-66d34f"),
    ],
)
def test_a_path_is_called_by_its_last_two_parts_and_a_digest_where_that_is_less(given: str, name: str) -> None:
    assert short_name(given, {"colors"}) == name


def test_an_id_of_the_hub_is_called_by_owner_and_model(config: dict[str, Any]) -> None:
    assert short_name("Qwen/Qwen2.5-0.5B", config["models"]) == "Qwen-Qwen2.5-0.5B"


def test_two_folders_of_one_name_have_two(folder: Path, config: dict[str, Any]) -> None:
    names = set()
    for run in ("a", "b"):
        path = folder / run / "checkpoint"
        shutil.copytree(folder / "tiny", path)
        names |= {choose_model(f"{run}/checkpoint", {}).name, choose_model(str(path), {}).name}
    assert len(names) == 4


def test_what_changes_nothing_in_a_path_changes_no_name(folder: Path, config: dict[str, Any]) -> None:
    assert named(config, "tiny", "my.csv") == named(config, "./tiny/", "./my.csv")


def test_what_is_the_same_with_other_words_is_the_same_study(folder: Path, config: dict[str, Any]) -> None:
    assert named(config, "tiny") == named(config, "tiny", "colors") == named(config, "tiny", name="tiny.colors")


# ------------------------------------------------------------------------------------------------------------ kinds


def test_a_folder_is_a_folder_whatever_else_has_its_name(folder: Path) -> None:
    (folder / "owner").mkdir()
    for name in ("qwen2.5-0.5b", "owner/model"):
        (folder / "tiny").rename(folder / name)
        model = choose_model(name, {"qwen2.5-0.5b": {}})
        assert model.entry == {"source": "local", "path": name, "chat": False, "generation": model.entry["generation"]}
        assert model.name != "qwen2.5-0.5b"
        (folder / name).rename(folder / "tiny")


def test_a_folder_is_found_by_the_home_folder_and_by_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert choose_model("~/tiny", {}).entry["path"] == "~/tiny"
    assert choose_model("$HOME/tiny", {}).entry["path"] == "$HOME/tiny"


def test_a_model_of_the_catalogue_has_no_entry_of_its_own(folder: Path, config: dict[str, Any]) -> None:
    study = named(config, "qwen2.5-0.5b", "my.csv")
    assert study.path == Path("results/qwen2.5-0.5b.my/study.yaml")
    assert "models" not in content(study)
    assert content(study)["prompt_sets"] == {"my": {"source": "table", "path": "my.csv"}}


def test_an_owner_and_a_name_are_a_model_of_the_hub_that_chats(folder: Path, config: dict[str, Any]) -> None:
    entry = content(named(config, "EleutherAI/pythia-70m"))["models"]["EleutherAI-pythia-70m"]
    assert entry["source"] == "hub"
    assert entry["id"] == entry["label"] == "EleutherAI/pythia-70m"
    assert entry["chat"] is True


@pytest.mark.parametrize("template", [None, "", "{{ messages }}"])
def test_a_folder_chats_if_transformers_finds_a_template_there(tmp_path: Path, template: str | None) -> None:
    from transformers import AutoTokenizer

    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    for how in ({}, {"save_jinja_files": False}):
        tokenizer.save_pretrained(tmp_path / "model", **how)
        found = bool(AutoTokenizer.from_pretrained(tmp_path / "model").chat_template)
        assert has_chat_template(tmp_path / "model") == found == bool(template)
        shutil.rmtree(tmp_path / "model")


def test_a_model_without_a_chat_template_reads_the_prompt_alone(folder: Path, config: dict[str, Any]) -> None:
    study = content(named(config, "tiny"))
    assert study["models"]["tiny"]["chat"] is False
    assert study["models"]["tiny"]["generation"] == {"system": None, "template": "{prompt}"}
    assert set(study["generation"]) == {"samples", "temperature", "max_new_tokens"}


def test_prompts_are_a_folder_of_templates_a_table_or_of_the_catalogue(folder: Path) -> None:
    templates = "data/prompt_sets/associations"
    assert choose_prompts(templates, {}).entry == {"source": "templates", "path": templates}
    assert choose_prompts("my.csv", {"my": {}}).entry == {"source": "table", "path": "my.csv"}
    assert choose_prompts("my", {"my": {}}).entry is None


def test_prompts_alone_are_given_to_the_models_of_the_default_study(folder: Path, config: dict[str, Any]) -> None:
    study = named(config, prompts="my.csv")
    assert study.path == Path("results/default.my/study.yaml")
    assert content(study)["study"]["models"] == config["study"]["models"]
    # The others, organisms and models of the catalogue, have of their own.
    assert set(content(study)["generation"]) == {"temperature"}


def test_a_model_alone_is_given_colors(folder: Path, config: dict[str, Any]) -> None:
    study = named(config, "tiny")
    assert study.path == Path("results/tiny.colors/study.yaml")
    assert content(study)["study"]["prompt_sets"] == ["colors"]


# ------------------------------------------------------------------------------------------------------- the file


def test_the_file_says_which_command_wrote_it_as_a_shell_takes_it(folder: Path, config: dict[str, Any]) -> None:
    (folder / "it's; mine.csv").write_text(TABLE)
    study = named(config, "tiny", "it's; mine.csv", "mine")
    said = study.text.splitlines()[1].removeprefix("#   make run ")
    shown = subprocess.run(["bash", "-c", f"printf '%s\\n' {said}"], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == ["MODEL=tiny", "PROMPTS=it's; mine.csv", "NAME=mine"]
    assert study.path == Path("results/mine/study.yaml")


def test_general_settings_are_those_of_config_yaml(folder: Path, config: dict[str, Any]) -> None:
    study = content(named(config, "qwen2.5-0.5b"))
    assert study["generation"] == {key: config["generation"][key] for key in study["generation"]}
    assert {"samples", "temperature", "system", "template"} <= set(study["generation"])
    assert study["study"]["scorers"] == config["study"]["scorers"]


def test_a_file_is_written_once(folder: Path, config: dict[str, Any]) -> None:
    study = named(config, "tiny", "my.csv")
    assert write_study(study)
    assert study.path.read_text(encoding="utf-8") == study.text
    assert not write_study(study)


def test_a_file_that_was_edited_is_kept_and_the_line_says_how_to_run_it(folder: Path, config: dict[str, Any]) -> None:
    study = named(config, "tiny", "my.csv")
    write_study(study)
    edited = study.text.replace("samples: 5", "samples: 7")
    study.path.write_text(edited)
    with pytest.raises(
        InputError, match=r"tokenizer has changed; run it by `make run STUDY=results/tiny\.my/study\.yaml`, or delete"
    ):
        write_study(study)
    assert study.path.read_text() == edited


def test_a_file_of_other_prompts_is_kept(folder: Path, config: dict[str, Any]) -> None:
    shutil.copy(folder / "my.csv", folder / "my.tsv")
    (folder / "my.tsv").write_text(TABLE.replace(",", "\t"))
    write_study(named(config, "tiny", "my.csv"))
    with pytest.raises(InputError, match="study of another model or other prompts; allowed: another name, by NAME="):
        write_study(named(config, "tiny", "my.tsv"))


# ------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "qwen2.5-0.5"}, r"MODEL=qwen2\.5-0\.5: got nothing of that name; .*Did you mean 'qwen2\.5-0\.5b'\?"),
        ({"model": "tinny"}, r"MODEL=tinny: got nothing of that name; .*Did you mean 'tiny'\?"),
        ({"model": "data"}, r"MODEL=data: got a folder without these files; allowed: a folder with config\.json"),
        ({"model": "my.csv"}, r"MODEL=my\.csv: got a file; allowed: "),
        ({"model": "a\nb"}, r"MODEL='a\\nb': got a control character"),
        ({"model": "tiny", "prompts": "colours"}, r"PROMPTS=colours: got nothing.*Did you mean 'colors'\?"),
        ({"prompts": "tiny"}, r"PROMPTS=tiny: got a folder without these files; allowed: a table"),
        ({"prompts": "there.txt"}, r"there\.txt: got plain text; name a table"),
        ({"prompts": "other.csv"}, r"other\.csv: got the columns text; allowed: a table that has prompt_id"),
        ({"model": "tiny", "name": "No Name"}, r"config: study\.name: got 'No Name'; allowed: a name"),
        ({"model": "tiny", "name": "../x"}, r"config: study\.name: got '\.\./x'; allowed: a name"),
    ],
)
def test_a_mistake_is_one_line(folder: Path, config: dict[str, Any], given: dict[str, str], said: str) -> None:
    (folder / "there.txt").write_text(TABLE)
    (folder / "other.csv").write_text("text\nHello\n")
    with pytest.raises(InputError, match=f"^{said}") as caught:
        named(config, **given)
    assert "\n" not in str(caught.value)
    assert not (folder / "results").exists()


def test_a_model_without_its_tokenizer_is_refused_before_anything_starts(folder: Path, config: dict[str, Any]) -> None:
    (folder / "tiny/tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"config: models\.tiny\.path: got 'tiny'; allowed: a model folder with a tok"):
        named(config, "tiny")


# ---------------------------------------------------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A checkout with its Makefile, whose environment is that of the tests; in it a model and a table of prompts."""
    from transformers import AutoModelForCausalLM

    checkout = Workspace(tmp_path_factory.mktemp("named") / "checkout").folder
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, checkout)
    (checkout / ".venv/bin").mkdir(parents=True)
    for name, module in (("python", ""), ("snakemake", "-m snakemake ")):
        program = checkout / ".venv/bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n')
        program.chmod(0o755)
    for name in ("python", "installed"):  # in this order: what is newer is not made again
        (checkout / ".venv" / name).touch()
    folder = save_model(checkout / "my models/tiny", AutoModelForCausalLM.from_config(small_config()))
    (folder / "chat_template.jinja").unlink()
    (checkout / "my prompts.csv").write_text(TABLE)
    return checkout


def make_run(checkout: Path, *given: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment = {**inherited, "HF_HUB_OFFLINE": "1", "MPLCONFIGDIR": str(checkout / ".cache")}
    command = ["make", "run", "CORES=2", *given]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.workflow
def test_own_prompts_on_a_model_run_to_the_table_and_then_there_is_nothing_to_do(checkout: Path) -> None:
    given = ("MODEL=my models/tiny", "PROMPTS=my prompts.csv")
    done = make_run(checkout, *given)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    study = next((checkout / "results").glob("*/study.yaml"))
    assert f"Wrote results/{study.parent.name}/study.yaml" in done.stderr
    assert study.parent.name.startswith("my-models-tiny-")
    assert f"Open results/{study.parent.name}/index.html in a browser." in done.stdout
    rates = pd.read_csv(study.parent / "leak_rates.csv")
    assert set(rates["n_prompts"]) == {4}
    assert set(rates["scorer"]) == {"sbert-minilm", "static-wordllama", "bertscore-minilm"}
    texts = pd.read_csv(next((study.parent / "generations").rglob("*.csv")))
    assert len(texts) == 6 * 5

    again = make_run(checkout, *given)
    assert "Nothing to be done" in again.stdout + again.stderr
    assert "Wrote" not in again.stderr
    by_study = make_run(checkout, f"STUDY=results/{study.parent.name}/study.yaml")
    assert "Nothing to be done" in by_study.stdout + by_study.stderr


def test_what_a_model_of_the_catalogue_says_itself_of_how_it_writes_is_not_written_otherwise(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    text = new_study("package:smollm2-135m", "colors", "", shipped(root)).text
    assert yaml.safe_load(text)["study"]["models"] == ["smollm2-135m"]
    written = yaml.safe_load(text)
    assert set(written["generation"]) == {"temperature"}
