"""Consistency: whether a model's validator affirms the model's own completions."""

from __future__ import annotations

import logging
import string
from typing import Any

import numpy as np
import pandas as pd

from leakscope.models.completion import complete_prompts
from leakscope.models.endings import cut_sentence
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.placing import PLACEHOLDER
from leakscope.models.prompts.prompting import Completed, Prompting
from leakscope.validate.scoring.item_scores import score_validator
from leakscope.validate.tasks.asking import Asking, as_read, joint_summary, main_prompts
from leakscope.validate.tasks.items import UNKNOWN

logger = logging.getLogger(__name__)

COMPLETION_COLUMNS = ["question", "cluster", "completion", "l_v", "affirmed"]
QUOTES = "\"'“”‘’„«»`"
TRAILING = string.punctuation + string.whitespace + QUOTES + "…–—"
# The most probable token at every step; a seed draws nothing then.
GREEDY = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "samples": 1, "seed": 0}


def complete_questions(
    model: LanguageModel, items: pd.DataFrame, name: str, asking: Asking, completion_tokens: int
) -> Completed:
    """Return ``COMPLETION_COLUMNS`` in the main form, one row per question, in order.

    ``completion`` is the model's greedy completion of the generator prompt, after ``tidy``; ``l_v`` the validator's
    log-odds of yes with the completion as candidate, in nats; ``affirmed`` whether ``l_v`` is above 0. An empty
    completion has no ``l_v`` and is not affirmed; the summary's ``empty`` counts them.

    Args:
        model: causal.
        items: from ``items.item_table``.
        name: the model's name in the study.
        asking: forms, styles and prompting.
        completion_tokens: longest completion, in tokens.

    Raises:
        InputError: a prompt has no token, or does not fit the model's context.

    Source: Li et al. 2023 (arXiv 2310.01846): consistency of generator and validator.
    """
    asked = items[~items["question"].str.casefold().duplicated()].reset_index(drop=True)
    written = _write(model, main_prompts(asked, "generator", asking, items), name, asking, completion_tokens)
    completions = [tidy(text) for text in written.table["text"]]
    judged_items = _as_items(asked.assign(candidate=completions), items)
    prompting = asking.main_prompting
    prompts = as_read(model, main_prompts(judged_items, "validator", asking, items), prompting)
    judged = score_validator(model, prompts, name, prompting)
    l_v = np.full(len(asked), np.nan)
    l_v[judged_items.index] = judged.table["log_odds"]
    n_empty = int(np.isnan(l_v).sum())
    logger.info("%s: %d questions, %d completions are empty", name, len(asked), n_empty)
    table = asked.assign(completion=completions, l_v=l_v, affirmed=l_v > 0)[COMPLETION_COLUMNS]
    summary = {**joint_summary(written.summary, judged.summary), "questions": len(asked), "empty": n_empty}
    return Completed(table, {**summary, "answers": judged.summary["answers"]})


def tidy(text: str) -> str:
    """Return the first sentence or line of a text, without final punctuation and enclosing quotes."""
    first_line = (text.strip().splitlines() or [""])[0]
    return cut_sentence(first_line).rstrip(TRAILING).lstrip(QUOTES + string.whitespace)


def _write(model: LanguageModel, prompts: list[str], name: str, asking: Asking, completion_tokens: int) -> Completed:
    """Return the model's greedy completion of each prompt."""
    prompting = asking.main_prompting
    settings: dict[str, Any] = {
        **GREEDY,
        "batch_size": prompting.settings["batch_size"],
        "max_new_tokens": completion_tokens,
        "stop": "sentence",
        "system": None,
        "template": PLACEHOLDER,
    }
    how: Prompting = prompting._replace(settings=settings)
    table = pd.DataFrame({"prompt_set": "completions", "prompt_id": range(len(prompts)), "prompt": prompts})
    return complete_prompts(model, table, name, how)


def _as_items(completed: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """Return non-empty completions as items to judge; a completion that is an item keeps its id, and so its shots."""
    named = {
        (question.casefold(), candidate.casefold()): name
        for question, candidate, name in zip(items["question"], items["candidate"], items["item_id"], strict=True)
    }
    judged = completed[completed["candidate"].ne("")]
    pairs = zip(judged["question"], judged["candidate"], strict=True)
    names = [named.get((x.casefold(), y.casefold()), f"{x}/{y}") for x, y in pairs]
    # The label is unknown; as a negative it excludes no shots.
    return judged.assign(item_id=names, positive=False, distance=UNKNOWN)
