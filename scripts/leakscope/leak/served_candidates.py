"""Scores candidates with a model behind a server; the tables are like those of a local model."""

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

ASKED_COLUMNS = ["prompt_set", "prompt_id", "slot", "candidate", "text", "begins", "alone"]
# Largest difference between a server's log-probabilities of the same tokens, in half precision and other batches.
SAME = 0.1
SPACE = "end `generation.template` with a space or a line break"


def score_served_prompts(
    scorer: TextScorer,
    prompts: Mapping[str, pd.DataFrame],
    candidates: Mapping[str, pd.DataFrame],
    name: str,
    settings: Mapping[str, Mapping[str, Any]],
) -> dict[str, Completed]:
    """Return prompt set → ``candidate_scores.SCORE_COLUMNS`` in prompt order (nats), with a summary of the requests.

    Each candidate is scored as a whole sentence, with its full stop, after exactly the text that the model continues.
    ``tokens`` is empty, as servers do not return ids; ``logprob_sampled`` is NaN, as it needs the probabilities of all
    other tokens. In languages without spaces the prompt is also scored by itself: its number of tokens shows where the
    candidate begins, as tokens may split characters. The cost of a text in several sets counts for the first set.

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
    texts = [text for table in asked.values() for text in _texts(table)]
    tokens = dict(zip(texts, scorer.score(texts), strict=True))
    completed, counted = {}, set[str]()
    for prompt_set, table in asked.items():
        own = {*_texts(table)} - counted
        counted |= own
        scores = table.assign(
            model=name,
            tokens=None,
            logprob=[_logprob(row, tokens) for row in table.itertuples()],
            logprob_sampled=math.nan,
        )
        completed[prompt_set] = Completed(scores[SCORE_COLUMNS], scorer.summary(_texts(table), own))
    return completed


def _asked(prompts: pd.DataFrame, candidates: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per prompt with a slot and candidate: the scored text, and where the candidate begins in it.

    ``alone`` is the prompt in languages without spaces, else empty.
    """
    by_slot = candidates.groupby("slot", sort=False)["candidate"].agg(list)
    slotted, language = prompts[prompts["slot"].notna()], languages_of(prompts).texts
    mark, lead = closing_mark(language), PLAIN_LEAD if is_spaced(language) else ""
    rows = []
    for prompt, placed in zip(slotted.to_dict("records"), placed_prompts(slotted), strict=True):
        asked = question_of(placed, settings, "completions").user
        named = [prompt[key] for key in ASKED_COLUMNS[:3]]
        rows += [
            (*named, candidate, followed(asked, candidate + mark, lead), len(asked), "" if lead else asked)
            for candidate in by_slot[prompt["slot"]]
        ]
    return pd.DataFrame(rows, columns=ASKED_COLUMNS)


def _texts(asked: pd.DataFrame) -> list[str]:
    """Return all texts of a table that the server has to score."""
    return [*asked["text"], *filter(None, dict.fromkeys(asked["alone"]))]


def _logprob(row: Any, tokens: Mapping[str, TokenLogprobs]) -> float:
    scored = tokens[row.text]
    behind = _behind(scored, tokens[row.alone]) if row.alone else continuation(row.text, scored, row.begins)
    if behind is None:
        advice = "allowed: `logprobs: false` for a prompt set in this language" if row.alone else SPACE
        shown = row.text[row.begins :].strip()
        raise InputError(f"candidate {shown!r}: its first token merges with the prompt's last; {advice}.")
    return math.fsum(behind)


def _behind(tokens: TokenLogprobs, alone: TokenLogprobs) -> list[float] | None:
    """Return logprobs of a text's tokens after its beginning ``alone``; None if the two tokenizations differ."""
    n = len(alone.logprobs)
    pairs = zip(tokens.logprobs[:n], alone.logprobs, strict=False)
    same = len(tokens.logprobs) > n and all(a == b or (a and b and abs(a - b) <= SAME) for a, b in pairs)
    return [value for value in tokens.logprobs[n:] if value is not None] if same else None
