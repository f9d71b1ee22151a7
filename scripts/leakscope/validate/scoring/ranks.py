"""Rank of the right answer among a question's candidates by a model's generator log-odds."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from leakscope.errors import one_of
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed
from leakscope.validate.scoring.item_scores import GeneratorItem, score_generator
from leakscope.validate.tasks.asking import Asking, as_read, joint_summary, main_prompts

logger = logging.getLogger(__name__)

RANK_COLUMNS = ["question", "cluster", "rank", "n_candidates", "best"]
QUESTION, TASK = "question", "task"
AMONG = (QUESTION, TASK)


class Contest(NamedTuple):
    """The row number of a question's first item, and the question's right and wrong candidates."""

    item: int
    right: list[str]
    wrong: list[str]


def rank_candidates(model: LanguageModel, items: pd.DataFrame, name: str, asking: Asking, among: str) -> Completed:
    """Return ``RANK_COLUMNS``, one row per question with right and wrong candidates, in order.

    ``rank`` is the rank of the best right candidate among the wrong ones, by log-odds of the whole candidate after the
    main form's generator prompt; 1 is best, and ties with wrong candidates count against it. ``n_candidates`` counts it
    and the wrong ones, ``best`` is the candidate ranked first. The summary's ``left_out`` counts the questions with
    candidates of one kind only.

    Args:
        model: causal.
        items: from ``items.item_table``.
        name: the model's name in the study.
        asking: forms, styles and prompting.
        among: ``question``: candidates of the question; ``task``: candidates of all questions of the task.

    Raises:
        InputError: as ``item_scores.score_generator``; ``among`` is unknown.
    """
    items = items.reset_index(drop=True)
    contested = list(contests(items, among))
    asked = items.iloc[[contest.item for contest in contested]]
    prompting = asking.main_prompting
    prompts = as_read(model, main_prompts(asked, "generator", asking, items), prompting)
    compared = [
        GeneratorItem(prompt, candidate)
        for prompt, contest in zip(prompts, contested, strict=True)
        for candidate in contest.right + contest.wrong
    ]
    scored = score_generator(model, compared, name, prompting)
    odds = iter(scored.table["log_odds"])
    rows = []
    for contest, question, cluster in zip(contested, asked["question"], asked["cluster"], strict=True):
        right, wrong = ({candidate: next(odds) for candidate in side} for side in (contest.right, contest.wrong))
        rank = 1 + sum(value >= max(right.values()) for value in wrong.values())
        side = right if rank == 1 else wrong
        rows.append((question, cluster, rank, 1 + len(wrong), max(side, key=side.__getitem__)))
    n_left_out = items["question"].str.casefold().nunique() - len(contested)
    logger.info("%s: %d questions ranked, %d have candidates of one kind only", name, len(contested), n_left_out)
    summary = {**joint_summary(scored.summary), "questions": len(contested), "left_out": n_left_out}
    return Completed(pd.DataFrame(rows, columns=RANK_COLUMNS), summary)


def contests(items: pd.DataFrame, among: str) -> Iterator[Contest]:
    """Yield the candidates of each question with right and wrong ones; case is ignored.

    Raises:
        InputError: ``among`` is unknown.
    """
    if among not in AMONG:
        raise one_of("ranks: rank_among", among, AMONG)
    everywhere = _distinct(items["candidate"])
    items = items.reset_index(drop=True)
    for _, of_question in items.groupby(items["question"].str.casefold(), sort=False):
        right = _distinct(of_question.loc[of_question["positive"], "candidate"])
        competing = everywhere if among == TASK else _distinct(of_question["candidate"])
        wrong = [candidate for folded, candidate in competing.items() if folded not in right]
        if right and wrong:
            yield Contest(int(of_question.index[0]), list(right.values()), wrong)


def _distinct(candidates: Iterable[str]) -> dict[str, str]:
    """Return case-folded candidate → its first spelling."""
    first_spelling: dict[str, str] = {}
    for candidate in candidates:
        first_spelling.setdefault(candidate.casefold(), candidate)
    return first_spelling
