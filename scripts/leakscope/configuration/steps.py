"""Which models each step of a study can use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leakscope.configuration.resolved import is_scored_by_server, thinks

IMPORTING = ("ground", "validate")
# Steps that can use log-probabilities from a server.
SCORING = ("leak", "ground", "validate")
# Sources of models with texts but without weights.
WITHOUT_WEIGHTS = ("generations", "endpoint")


def uses(step: str, model_entry: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Return whether a step can use a model: imported scores cannot leak; imported texts, models behind a server
    without log-probabilities, and models that think first are measured only by the step leak."""
    if model_entry["source"] == "scores":
        return bool(imported_scores(step, model_entry, config))
    if step in SCORING and is_scored_by_server(model_entry):
        return True
    return step == "leak" or not (model_entry["source"] in WITHOUT_WEIGHTS or thinks(model_entry))


def imported_scores(step: str, model_entry: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the files of imported scores that a step reads, by axis (``ground``) or by task (``validate``).

    In a study with both steps, names that are no axis are tasks.
    """
    steps, axes = config["study"]["steps"], config["ground"]["axes"]
    if step not in IMPORTING or step not in steps:
        return {}
    files = model_entry["path"].items()
    if set(IMPORTING) <= set(steps):
        return {name: path for name, path in files if (name in axes) == (step == "ground")}
    return dict(files)


def score_files(paths: str | Mapping[str, str], languages: list[str]) -> dict[str, str]:
    """Return language → file of scores; a single file belongs to the first language."""
    return {languages[0]: paths} if isinstance(paths, str) else dict(paths)
