"""The study of a model's card: the standard choice on one model, as a file to be read, copied and edited."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError, one_of
from leakscope.files.reading_yaml import parse_yaml
from leakscope.files.writing_yaml import in_yaml
from leakscope.workflow.cards.standard import Standard, read_standard
from leakscope.workflow.chosen import Chosen, choose_model
from leakscope.workflow.new_study import NewStudy, command_line, entry_lines, generation_lines, mark

WITH = ("mitigations",)
# What an entry is made from, by name.
MADE_FROM = ("extends", "base")


def card_study(
    model: str, name: str, with_: Collection[str], brought: Mapping[str, Any], config: Mapping[str, Any], file: str = ""
) -> NewStudy:
    """Return the study of a model's card, checked: nothing that it names is missing.

    Args:
        model: what ``MODEL=`` says: as for ``make run``, or a model of ``brought``.
        name: what ``NAME=`` says; empty: made of the model's.
        with_: ``mitigations``, where the best one is asked for.
        brought: ``models`` of the file that ``STUDY=`` names: of a server, say.
        config: what is shipped.
        file: what ``STUDY=`` says.

    Raises:
        InputError: there is no model, it is of no known kind, or it is one that writes no texts here.
    """
    for word in with_:
        if word not in WITH:
            raise one_of("WITH", word, WITH)
    if not model:
        raise InputError("MODEL=: got nothing; allowed: MODEL=package:smollm2-135m, or what docs/card.md lists.")
    resolve(config)  # whose mistakes would else be taken for those of the command
    standard = read_standard()
    read = {
        name: entry for name, entry in brought.items() if name in _chain(model, brought) or not isinstance(name, str)
    }
    resolve(config, {"models": read})  # what is read of the file before the study is
    chosen = choose_model(model, {**config.get("models", {}), **brought})
    made = ".".join([chosen.name, "card", *with_])
    study = name or made
    given = {"MODEL": chosen.given, "STUDY": file, "WITH": " ".join(with_), "NAME": "" if study == made else study}
    command = command_line("card", given)
    path = Path("results") / study / "study.yaml"
    text = _text(study, chosen, brought, standard, config, command, with_)
    resolve(config, parse_yaml(text, str(path)))
    return NewStudy(path, text, command)


def _text(
    name: str,
    model: Chosen,
    brought: Mapping[str, Any],
    standard: Standard,
    config: Mapping[str, Any],
    command: str,
    with_: Collection[str],
) -> str:
    known = {**config, "models": {**config.get("models", {}), **brought}}
    lines = [
        f"# The study of a card, by version {standard.version} of data/cards/standard.yaml. Written by",
        mark(command),
        "# To go on from here, copy it to studies/, give it a name of its own, edit it, and run the copy:",
        "#   make run STUDY=studies/<your file>.yaml",
        "",
        "study:",
        f"  name: {in_yaml(name)} # results are written to results/<name>/",
        f"  models: {in_yaml([model.name, *(each for each in standard.organisms if each != model.name)])}",
        f"  prompt_sets: {in_yaml(standard.prompt_sets)}",
        f"  scorers: {in_yaml(standard.scorers)}",
        f"  steps: {in_yaml(['leak', *(['trace'] if with_ else [])])}",
        *entry_lines("models", _as_standard(model, brought, standard)),
        *_below(model.name, brought),
        *generation_lines([model.name], model, known, said=standard.generation.model_dump()),
        *(["", "trace:", f"  mitigations: {in_yaml(standard.mitigations)}"] if with_ else []),
    ]
    return "\n".join(lines) + "\n"


def _as_standard(model: Chosen, brought: Mapping[str, Any], standard: Standard) -> Chosen:
    """Return a model that writes as the standard choice says, apart from its own wording."""
    entry = {**(model.entry or brought.get(model.name) or {})}
    generation = {**(entry.get("generation") or {}), **standard.generation.model_dump()}
    return model._replace(entry={**entry, "generation": generation})


def _below(name: str, brought: Mapping[str, Any]) -> list[str]:
    """Return the lines of the entries that a brought one is made from, of those that were brought, too."""
    return [f"  {in_yaml(each)}: {in_yaml(brought[each])}" for each in _chain(name, brought) if each != name]


def _chain(name: str, brought: Mapping[str, Any]) -> list[str]:
    """Return a model and those that it is made from, each once, of those that were brought; mistakes are left."""
    found = [name] if name in brought else []
    for each in found:
        entry = brought[each] if isinstance(brought[each], Mapping) else {}
        below = [entry[key] for key in MADE_FROM if isinstance(entry.get(key), str)]
        found += [other for other in dict.fromkeys(below) if other in brought and other not in found]
    return found
