"""From prompts to log-probabilities of candidates, by a model behind a server: tables like those of a model here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from leakscope.errors import InputError
from leakscope.languages.closing_marks import closing_mark, is_spaced
from leakscope.languages.of_prompts import languages_of
from leakscope.leak.served_texts import question_of
from leakscope.models.candidate_scores import SCORE_COLUMNS
from leakscope.models.prompts.placing import placed_prompts
from leakscope.models.prompts.prompting import Completed
from leakscope.models.prompts.rendering import PLAIN_LEAD, followed
from leakscope.web.scoring import TextScorer, continuation
from leakscope.web.token_logprobs import TokenLogprobs

ASKED_COLUMNS = ["prompt_set", "prompt_id", "slot", "candidate", "text", "begins"]


def score_served_prompts(
    scorer: TextScorer,
    prompts: Mapping[str, pd.DataFrame],
    candidates: Mapping[str, pd.DataFrame],
    name: str,
    settings: Mapping[str, Mapping[str, Any]],
) -> dict[str, Completed]:
    """Return prompt set → ``candidate_scores.SCORE_COLUMNS`` in prompt order (nats), and what was done for it.

    Each candidate is scored as a whole sentence, with its full stop, after the very text that is gone on with. There
    are no ``tokens``, for a server does not say their ids, and no ``logprob_sampled``, for which all other tokens'
    probabilities would be needed. Costs of a text of several sets count for the first of them.

    Args:
        scorer: of the model.
        prompts: prompt set → its table.
        candidates: prompt set → ``slot, candidate``.
        name: the model's name in the study.
        settings: prompt set → its generation settings.

    Raises:
        InputError: as ``TextScorer.score``; a candidate runs into the prompt.
    """
    asked = {each: _asked(table, candidates[each], settings[each]) for each, table in prompts.items()}
    texts = [text for table in asked.values() for text in table["text"]]
    tokens = dict(zip(texts, scorer.score(texts), strict=True))
    completed, counted = {}, set[str]()
    for prompt_set, table in asked.items():
        own = {*table["text"]} - counted
        counted |= own
        scores = table.assign(
            model=name,
            tokens=None,
            logprob=[_logprob(row, tokens[row.text]) for row in table.itertuples()],
            logprob_sampled=math.nan,
        )
        completed[prompt_set] = Completed(scores[SCORE_COLUMNS], scorer.summary(list(table["text"]), own))
    return completed


def _asked(prompts: pd.DataFrame, candidates: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row for each prompt with a slot and candidate of it: the text that is scored, and where it begins."""
    by_slot = candidates.groupby("slot", sort=False)["candidate"].agg(list)
    slotted, language = prompts[prompts["slot"].notna()], languages_of(prompts).texts
    mark, lead = closing_mark(language), PLAIN_LEAD if is_spaced(language) else ""
    rows = []
    for prompt, placed in zip(slotted.to_dict("records"), placed_prompts(slotted), strict=True):
        asked = question_of(placed, settings, "completions").user
        named = [prompt[key] for key in ASKED_COLUMNS[:3]]
        rows += [
            (*named, candidate, followed(asked, candidate + mark, lead), len(asked))
            for candidate in by_slot[prompt["slot"]]
        ]
    return pd.DataFrame(rows, columns=ASKED_COLUMNS)


def _logprob(row: Any, tokens: TokenLogprobs) -> float:
    of_candidate = continuation(row.text, tokens, row.begins)
    if of_candidate is None:
        raise InputError(
            f"candidate {row.text[row.begins :].strip()!r}: its first token runs into the prompt's last; "
            "end `generation.template` with a space or a line break."
        )
    return math.fsum(of_candidate)
