"""Checks of tasks and tuned models beyond the schema: files exist, styles and bases fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from leakscope.configuration.steps import imported_scores, uses
from leakscope.errors import InputError, one_of
from leakscope.files.finding import places
from leakscope.typed.reading import read_typed
from leakscope.typed.wording import dotted, show
from leakscope.validate.tasks.form_file import FormFile


def validate_checks(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks of the tasks and of the bases of tuned models in a complete configuration.

    Raises:
        InputError: there is no model to ask, or no task.
    """
    step, named = "validate", {name: config["models"][name] for name in config["study"]["models"]}
    tuned = {name: entry for name, entry in named.items() if entry["source"] == "tuned"}
    wanted = step in config["study"]["steps"]
    # Without the step, its tuned models are still trained for other steps.
    models = {name: entry for name, entry in named.items() if uses(step, entry, config)} if wanted else tuned
    if wanted and not models:
        names = ", ".join(named)
        raise InputError(
            f"{dotted(('study', 'models'))}: got {names}; allowed: at least one model for the step validate."
        )
    asked = [name for name, entry in models.items() if entry["source"] != "scores"]
    if asked:
        yield from _task_checks(config["validate"]["tasks"], {name: models[name] for name in asked})
    for name, entry in models.items():
        if entry["source"] == "scores":
            yield from _score_checks(name, imported_scores(step, entry, config))
    bases = [config["models"][entry["base"]]["source"] for entry in tuned.values()]
    if any(source != "organism" for source in bases):
        yield partial(_require_file, config["validate"]["neutral_text"], ("validate", "neutral_text"))


def _task_checks(tasks: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    if not tasks:
        raise InputError(
            f"{dotted(('validate', 'tasks'))}: got nothing; allowed: at least one task, to ask {next(iter(models))}. "
            "studies/hypernymy.yaml has one."
        )
    for name, task in tasks.items():
        where = ("validate", "tasks", name)
        yield partial(_require_file, task["path"], (*where, "path"))
        yield partial(_check_styles, where, task, models)


def _check_styles(where: tuple[str, ...], task: Mapping[str, Any], models: Mapping[str, Any]) -> None:
    _require_file(task["forms"], (*where, "forms"))
    is_chat = {style.id: style.chat for style in read_typed(Path(task["forms"]), FormFile).styles}
    styles = list(is_chat) if task["styles"] is None else task["styles"]
    for style in styles:
        if style not in is_chat:
            raise one_of(dotted((*where, "styles")), style, is_chat)
    for model, entry in models.items():
        # Servers give log-probabilities of texts, not of chats.
        if not entry.get("chat") and all(is_chat[style] for style in styles):
            raise InputError(
                f"{dotted((*where, 'styles'))}: got {', '.join(styles)}, all for chats, but {model} has "
                "`chat: false`; allowed: at least one style with `chat: false`."
            )


def _score_checks(model: str, files: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    for task, path in files.items():
        yield partial(_require_one_file, path, ("models", model, "path", task))


def _require_one_file(path: object, where: tuple[str, ...]) -> None:
    if not isinstance(path, str):
        raise InputError(f"{dotted(where)}: got {show(path)}; allowed: the path of one file, for the step validate.")
    _require_file(path, where)


def _require_file(path: str, where: tuple[str, ...]) -> None:
    if not Path(path).is_file():
        raise InputError(f"{dotted(where)}: got {places(path)}; allowed: a file that exists.")
