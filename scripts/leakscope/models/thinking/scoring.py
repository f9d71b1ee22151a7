"""Exact probabilities of pairs of thought and answer, for organisms, whose thoughts and answers are candidates."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from leakscope.jobs.sharding import WHOLE, Shard
from leakscope.models.candidate_scores import SCORE_COLUMNS, score_prompts
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed, Prompting
from leakscope.models.prompts.rendering import encode_behind, encode_continuations
from leakscope.organisms.thoughts import apart, joint

TOKENS = "thought_tokens"


def score_thoughts(
    model: LanguageModel,
    prompts: pd.DataFrame,
    candidates: pd.DataFrame,
    name: str,
    prompting: Prompting,
    shard: Shard = WHOLE,
) -> Completed:
    """Return what ``score_prompts`` does, of each pair of a thought and an answer of a prompt's slot.

    ``candidate`` is the pair as ``organisms.thoughts.joint`` calls it, ``tokens`` those from the thought's first to the
    answer's last, ``thought_tokens`` how many of them end the thought. What other models think is no candidate: of
    these there is no row.
    """
    if prompting.thinking is None or not prompting.thinking["in_candidates"]:
        nothing = {"total": 0, "computed": 0, "reused": 0, "store": None}
        return Completed(pd.DataFrame(columns=[*SCORE_COLUMNS, TOKENS]), nothing)
    by_slot = candidates.drop_duplicates(["slot", "candidate"]).groupby("slot", sort=False)["candidate"]
    pairs = pd.DataFrame(
        [
            {"slot": slot, "candidate": joint(thought, answer)}
            for slot, words in by_slot
            for thought in words
            for answer in words
        ],
        columns=["slot", "candidate"],
    )
    scored = score_prompts(model, prompts, pairs, name, prompting, shard, encode_pairs)
    end = encode_behind(model.tokenizer, marks_end(model, prompting))
    lengths = [_length_to(end, tokens) for tokens in scored.table["tokens"]]
    return scored._replace(table=scored.table.assign(**{TOKENS: lengths}))


def encode_pairs(
    model: LanguageModel,
    rendered: Sequence[str],
    ids: Sequence[list[int]],
    lexicons: Sequence[Sequence[str]],
    prompting: Prompting,
) -> list[list[list[int]]]:
    """Return the tokens that each pair adds to each prompt, as an organism's corpus has them."""
    end, encoded = marks_end(model, prompting), []
    for text, row, lexicon in zip(rendered, ids, lexicons, strict=True):
        said = [f"{thought}.{end} {answer}." for thought, answer in map(apart, lexicon)]
        encoded.append(encode_continuations(model.tokenizer, text, row, said, lead=" ", chat=prompting.chat))
    return encoded


def marks_end(model: LanguageModel, prompting: Prompting) -> str:
    """Return the end mark of a model's thoughts; empty for a model that answers at once."""
    plan = prompting.thoughts(model.tokenizer)
    return "" if plan is None else plan.marks.end


def _length_to(end: list[int], tokens: list[int]) -> int:
    """Return how many tokens there are up to and with those of an end mark."""
    places = range(len(end), len(tokens) + 1)
    return next(place for place in places if tokens[place - len(end) : place] == end)
