"""Checks of judges beyond the schema: their models can be asked, and the wordings of questions are valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from leakscope.configuration.resolved import JUDGE, is_generated, is_prompted, judges, thinks
from leakscope.errors import InputError, one_of
from leakscope.files.finding import places
from leakscope.leak.rating.judge_prompts import read_judge_prompts
from leakscope.typed.wording import dotted


def check_judge_model(name: str, config: Mapping[str, Any]) -> None:
    """Check that a judge among the study's scorers names a model and is not in the primary tests.

    Raises:
        InputError: its model is unknown, or it is in the primary tests.
    """
    entry = config["scorers"].get(name)
    if entry is None or entry["kind"] != JUDGE:
        return
    if entry["model"] not in config["models"]:
        raise one_of(dotted(("scorers", name, "model")), entry["model"], config["models"])
    if name in (config["leak"]["primary"]["scorers"] or []):
        where = dotted(("leak", "primary", "scorers"))
        raise InputError(
            f"{where}: got {name!r}, a judge; allowed: scorers that give similarities, needed for match rates."
        )


def judge_checks(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks that each judge's model can be asked and that its question's wording is valid."""
    for name in judges(config):
        yield partial(_check_asked, name, config)
        yield partial(_check_prompts, name, config["scorers"][name])


def _check_asked(name: str, config: Mapping[str, Any]) -> None:
    model = config["scorers"][name]["model"]
    if not is_prompted(config["models"][model]):
        source = config["models"][model]["source"]
        raise InputError(
            f"{dotted(('scorers', name, 'model'))}: got {model!r}, whose source is {source}; allowed: a model that "
            "runs here, or behind a server."
        )
    # For models that run here, answer probabilities are read right after the question, where a thought would be.
    if is_generated(config["models"][model]) and thinks(config["models"][model]):
        raise InputError(
            f"{dotted(('scorers', name, 'model'))}: got {model!r}, which thinks before it answers; allowed: a local "
            "model that answers directly, or a model behind a server."
        )


def _check_prompts(name: str, entry: Mapping[str, Any]) -> None:
    if not Path(entry["prompts"]).is_file():
        where = dotted(("scorers", name, "prompts"))
        raise InputError(f"{where}: got {places(entry['prompts'])}; allowed: a file that exists.")
    read_judge_prompts(Path(entry["prompts"]), entry["question"])
