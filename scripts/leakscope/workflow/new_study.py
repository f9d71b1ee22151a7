"""The study of one model and one prompt set named on the command line: its name, its file, and when the file is
written.

``make run MODEL=… PROMPTS=…`` writes a study's file, to be read, copied and edited, and runs it like ``make run
STUDY=…``.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.files.reading import read_utf8
from leakscope.files.reading_yaml import LARGEST_YAML, parse_yaml
from leakscope.files.writing import replacing
from leakscope.files.writing_yaml import in_yaml
from leakscope.workflow.chosen import Chosen, check_prompts, choose_model, choose_prompts

DEFAULT_PROMPTS = "colors"
# Keys that new users change first, with their values from config.yaml.
GENERATION = {
    "samples": "texts for each prompt",
    "temperature": "how much the texts of a prompt differ",
    "max_new_tokens": "the longest text",
    "system": "what a chat model is told to do; null: nothing",
    "template": "what a model is asked; {prompt} is the prompt",
}


class NewStudy(NamedTuple):
    """The study of a command."""

    path: Path
    text: str
    command: str


def new_study(model: str, prompts: str, name: str, config: Mapping[str, Any]) -> NewStudy:
    """Return the study of a model and a prompt set, after checking that everything it names can be read.

    Args:
        model: what ``MODEL=`` says; empty: the models of the default study.
        prompts: what ``PROMPTS=`` says; empty: the prompt set ``colors``.
        name: what ``NAME=`` says; empty: made of both names, the same whenever the same is given.
        config: what is shipped.

    Raises:
        InputError: the model or the prompts are of no known kind, or cannot be used; or the name is none.
    """
    resolve(config)  # whose mistakes would else be taken for those of the command
    models = choose_model(model, config.get("models", {})) if model else None
    prompt_set = choose_prompts(prompts or DEFAULT_PROMPTS, config.get("prompt_sets", {}))
    check_prompts(prompt_set)
    made = f"{models.name if models else config['study']['name']}.{prompt_set.name}"
    study = name or made
    given = {"MODEL": models.given if models else "", "PROMPTS": prompt_set.given}
    command = command_line("run", {**given, "NAME": "" if study == made else study})
    path = Path("results") / study / "study.yaml"
    text = _text(study, models, prompt_set, config, command)
    resolve(config, parse_yaml(text, str(path)))
    return NewStudy(path, text, command)


def write_study(study: NewStudy) -> bool:
    """Write a study's file and return True; return False where it is there already, as it would be written.

    Raises:
        InputError: a file of other models or prompts is there, or one that has been edited since.
    """
    if not study.path.exists():
        with replacing(study.path) as part:
            part.write_text(study.text, encoding="utf-8")
        return True
    there = read_utf8(study.path, LARGEST_YAML)
    if there == study.text:
        return False
    if mark(study.command) not in there.splitlines():
        raise InputError(
            f"{study.path}: got a study of another model or other prompts; allowed: another name, by NAME=."
        )
    raise InputError(
        f"{study.path}: differs from what this command writes: the study, config.yaml or the model's tokenizer has "
        f"changed; run it by `make run STUDY={study.path}`, or delete it to have it written again."
    )


def command_line(target: str, given: Mapping[str, str]) -> str:
    """Return the shell command of a study, without variables that were not given."""
    return " ".join(["make", target, *(f"{key}={shlex.quote(value)}" for key, value in given.items() if value)])


def mark(command: str) -> str:
    """Return the line that marks a file as written by a command."""
    return f"#   {command}"


def _text(name: str, model: Chosen | None, prompts: Chosen, config: Mapping[str, Any], command: str) -> str:
    study = config["study"]
    models = [model.name] if model else study["models"]
    lines = [
        "# The study that this command runs, which wrote it:",
        mark(command),
        "# To go on from here, copy it to studies/, give it a name of its own, edit it, and run the copy:",
        "#   make run STUDY=studies/<your file>.yaml",
        "# Every key: docs/configuration/. What is not said here is as in config.yaml and data/catalogue/.",
        "",
        "study:",
        f"  name: {in_yaml(name)} # results are written to results/<name>/",
        f"  models: {in_yaml(models)}",
        f"  prompt_sets: {in_yaml([prompts.name])}",
        f"  scorers: {in_yaml(study.get('scorers', []))} # how texts are compared with a concept",
        "  steps: [leak] # and ground, validate, features",
        *entry_lines("models", model),
        *entry_lines("prompt_sets", prompts),
        *generation_lines(models, model, config),
    ]
    return "\n".join(lines) + "\n"


def entry_lines(catalogue: str, chosen: Chosen | None) -> list[str]:
    """Return the lines of a catalogue with one entry and its base's; none if the catalogue has it."""
    if chosen is None or chosen.entry is None:
        return []
    written = [each for each in (chosen.base, chosen) if each]
    return ["", f"{catalogue}:", *(line for each in written for line in _named_entry(each))]


def _entries(model: Chosen | None) -> dict[str, Any]:
    """Return the entries that a study adds to the catalogue for a model."""
    return {each.name: each.entry for each in (model and model.base, model) if each and each.entry is not None}


def _own_generation(name: str, catalogue: Mapping[str, Any]) -> dict[str, Any]:
    """Return the generation keys of a model's entry and of the entries it extends or is made from."""
    entry = catalogue.get(name) or {}
    below = entry.get("extends") or entry.get("base")
    return {**(_own_generation(below, catalogue) if below else {}), **(entry.get("generation") or {})}


def _named_entry(chosen: Chosen) -> list[str]:
    remark = [f"    # {chosen.remark}"] if chosen.remark else []
    entry = [f"    {key}: {in_yaml(value)}" for key, value in (chosen.entry or {}).items()]
    return [f"  {in_yaml(chosen.name)}:", *remark, *entry]


def generation_lines(
    models: list[str], model: Chosen | None, config: Mapping[str, Any], said: Collection[str] = ()
) -> list[str]:
    """Return the lines of ``generation``: the keys that some model does not set itself.

    None for organisms, which have their own settings, and no keys that are ``said`` elsewhere.
    """
    catalogue = {**config.get("models", {}), **_entries(model)}
    others = [name for name in models if catalogue.get(name, {}).get("source") != "organism"]
    if not others:
        return []
    own = set.intersection(*({*_own_generation(name, catalogue)} for name in others)) | {*said}
    general = {
        key: value for key, value in config.get("generation", {}).items() if key in GENERATION and key not in own
    }
    if not general:
        return []
    return ["", "generation:", *(f"  {key}: {in_yaml(value)} # {GENERATION[key]}" for key, value in general.items())]
