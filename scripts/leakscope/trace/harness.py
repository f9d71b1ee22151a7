"""What a mitigation costs by tasks of lm-eval (EleutherAI): a mitigated model is scored beside the model as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leakscope.errors import InputError, one_of
from leakscope.models.opening import LanguageModel
from leakscope.trace.harness_table import TASK_COLUMNS

INSTALL = "pip install 'lm-eval[hf]'"  # without [hf] it lacks what it asks models with
BREAK = "\n\n"  # between a wording and what it stands before
NO_FILTER = "none"
STDERR = "_stderr"
BOOTSTRAPS = 1000
"""Samples for the standard errors of metrics that are no means."""


class Harness(NamedTuple):
    """Which tasks are put to a model, and how.

    tasks: names of tasks and groups.
    folder: of tasks beside lm-eval's own; None: none.
    examples: at most so many of each task; None: all.
    batch_size: examples that a model reads at once.
    """

    tasks: Sequence[str]
    folder: str | None
    examples: int | None
    batch_size: int


def score_tasks(model: LanguageModel, harness: Harness, *, chat: bool, wording: str = "") -> pd.DataFrame:
    """Return ``TASK_COLUMNS`` of a model, mitigated or not, whose changes stay in it while lm-eval asks it.

    Args:
        model: opened, causal.
        harness: which tasks, and how.
        chat: whether prompts go through the model's chat template.
        wording: of a mitigation that asks: system message of a chat, else before the prompt. Tasks that score a whole
            text without a prompt are read without it.

    Raises:
        InputError: lm-eval, or what a task needs, is not installed; it has no such task, or cannot get a task's data.
    """
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise InputError(f"trace.lm_eval: {error}; run `{INSTALL}`.") from error

    manager = _known_tasks(harness.folder)
    for task in harness.tasks:
        if task not in manager.all_tasks:
            raise one_of("trace.lm_eval.tasks", task, manager.all_tasks)
    wrapped = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=harness.batch_size)
    try:
        found = simple_evaluate(
            wrapped,
            tasks=list(harness.tasks),
            limit=harness.examples,
            task_manager=manager,
            bootstrap_iters=BOOTSTRAPS,
            apply_chat_template=chat,
            # Where it ends in a break, lm-eval adds nothing of its own.
            system_instruction=(wording if chat else wording + BREAK) if wording else None,
        )
    except ImportError as error:
        what = f"got {', '.join(harness.tasks)}, which need a package that is not installed ({error})"
        raise InputError(f"trace.lm_eval.tasks: {what}; install it beside lm-eval.") from error
    except OSError as error:
        what = f"got {', '.join(harness.tasks)}, whose data cannot be loaded ({error})"
        raise InputError(f"trace.lm_eval.tasks: {what}; allowed: tasks whose data are here or on a hub.") from error
    return pd.DataFrame(_rows(found), columns=TASK_COLUMNS)


@cache
def _known_tasks(folder: str | None) -> Any:
    """Return the tasks of lm-eval and of a folder: it reads some ten thousand files, for seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=folder)


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield a row a task and metric of what lm-eval returns; groups are the means of their tasks, and left out."""
    for task, samples in found["samples"].items():
        scores = found["results"][task]
        for name, value in scores.items():
            metric, _, kind = name.partition(",")
            if not kind or metric.endswith(STDERR):
                continue
            own = sorted((one for one in samples if one["filter"] == kind), key=lambda one: one["doc_id"])
            stderr = scores.get(f"{metric}{STDERR},{kind}")
            called = metric if kind == NO_FILTER else f"{metric} ({kind})"
            known = float(stderr) if isinstance(stderr, int | float) else np.nan
            yield task, called, float(value), known, len(own), _averaged(own, metric, float(value))


def _averaged(samples: Sequence[Mapping[str, Any]], metric: str, value: float) -> list[float] | None:
    """Return a metric of each example; None where these are no numbers, or another mean."""
    values = [sample.get(metric) for sample in samples]
    if not values or not all(isinstance(one, int | float | np.number) for one in values):
        return None
    numbers = [float(one) for one in values if one is not None]
    return numbers if np.isclose(np.mean(numbers), value) else None
