"""What a schema cannot say of what is traced: models that run here, prompt sets from templates, files that exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from leakscope.configuration.resolved import is_generated
from leakscope.errors import InputError, one_of
from leakscope.files.corpora import shard_files
from leakscope.files.finding import places
from leakscope.typed.wording import dotted


def trace_checks(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks of what a complete configuration traces.

    Raises:
        InputError: there is no model that runs here, or no prompt set that is made from templates.
    """
    study = config["study"]
    if "trace" not in study["steps"]:
        return
    templated = [name for name in study["prompt_sets"] if config["prompt_sets"][name]["source"] == "templates"]
    if not templated:
        got = ", ".join(study["prompt_sets"]) or "nothing"
        raise InputError(
            f"{dotted(('study', 'prompt_sets'))}: got {got}; allowed: at least one set from templates, for the step "
            "trace."
        )
    if not any(is_generated(config["models"][name]) for name in study["models"]):
        raise InputError(
            f"{dotted(('study', 'models'))}: got {', '.join(study['models'])}; allowed: at least one model that runs "
            "here, for the step trace."
        )
    for name in templated:
        entry = config["trace"]["sets"].get(name) or {}
        yield from _checks_of_set(("trace", "sets", name), entry, config)


def _checks_of_set(
    where: tuple[str, ...], entry: Mapping[str, Any], config: Mapping[str, Any]
) -> Iterator[Callable[[], object]]:
    if entry.get("cues"):
        yield partial(_check_file, (*where, "cues"), entry["cues"])
    counts = entry.get("counts") or {"source": None}
    if counts["source"] == "corpus":
        yield partial(shard_files, counts["path"])
    if counts["source"] == "table":
        paths = counts["path"] if isinstance(counts["path"], dict) else {"": counts["path"]}
        for path in paths.values():
            yield partial(_check_file, (*where, "counts", "path"), path)
        if isinstance(counts["path"], dict):
            yield partial(_check_window, config["trace"]["window"], list(paths))
    if counts["source"] == "infini_gram" and config["trace"]["window"] is None:
        raise InputError(f"{dotted(('trace', 'window'))}: got null; allowed: a number of tokens, for an index.")
    if counts["source"] == "organism":
        yield partial(_check_organism, (*where, "counts", "model"), counts["model"], config)


def _check_file(where: tuple[str, ...], path: str) -> None:
    if not Path(path).is_file():
        raise InputError(f"{dotted(where)}: got {places(path)}; allowed: a file that exists.")


def _check_window(window: int | None, windows: list[str]) -> None:
    if str(window) not in windows:
        raise one_of(dotted(("trace", "window")), str(window), windows)


def _check_organism(where: tuple[str, ...], model: str, config: Mapping[str, Any]) -> None:
    organisms = [name for name in config["study"]["models"] if config["models"][name]["source"] == "organism"]
    if model not in organisms:
        raise one_of(dotted(where), model, organisms)
