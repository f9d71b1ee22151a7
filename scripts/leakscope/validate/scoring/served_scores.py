"""Log-odds of a task's items by a model behind a server.

A server returns the log-probabilities of a text's tokens. So each answer is sent as a continuation of its prompt, each
spelling of yes and no in a separate request, and log p − log(1−p) is computed from log p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from leakscope.errors import InputError
from leakscope.models.prompts.prompting import Completed
from leakscope.models.prompts.rendering import followed
from leakscope.validate.scoring.imported_scores import log_odds
from leakscope.validate.scoring.item_scores import NO, YES, GeneratorItem
from leakscope.validate.scoring.score_columns import FORM_COLUMNS, GENERATOR_COLUMNS, SCORE_COLUMNS, VALIDATOR_COLUMNS
from leakscope.validate.tasks.asking import Asking, all_prompts
from leakscope.web.scoring import TextScorer, continuation

# Half of the float32 spacing below 1: a p that a server has rounded to 1 may be smaller by this amount.
NEAREST = -(2.0**-25)


def score_served_items(scorer: TextScorer, items: pd.DataFrame, asking: Asking) -> Completed:
    """Return ``SCORE_COLUMNS``, one row per item, form and style; nats. As ``scored.score_items``.

    The summary's ``answers`` lists the spellings that count as yes and no: those that are one token after every prompt.

    Args:
        scorer: asks the server for log-probabilities.
        items: from ``items.item_table``.
        asking: forms, styles and prompting; no chat styles.

    Raises:
        InputError: as ``TextScorer.score``; a candidate merges with the prompt; no spelling of an answer is one token.
    """
    prompts = all_prompts(items, asking)
    candidates = dict(zip(items["item_id"], items["candidate"], strict=True))
    asks = prompts["kind"].eq("validator")
    answers = prompts.loc[~asks, "item_id"].map(candidates)
    to_go_on = [GeneratorItem(*pair) for pair in zip(prompts.loc[~asks, "prompt"], answers, strict=True)]
    generated = score_served_generator(scorer, to_go_on)
    judged = score_served_validator(scorer, list(prompts.loc[asks, "prompt"]))
    parts = [generated.table.set_index(prompts.index[~asks]), judged.table.set_index(prompts.index[asks])]
    table = prompts[FORM_COLUMNS].join(pd.concat(parts))[SCORE_COLUMNS]
    texts = [*generated.summary["texts"], *judged.summary["texts"]]
    summary = {**scorer.summary(texts), "answers": judged.summary["answers"], "styles": asking.styles}
    return Completed(table.astype({"tokens": "Int64"}), summary)


def score_served_generator(scorer: TextScorer, items: Sequence[GeneratorItem]) -> Completed:
    """Return ``GENERATOR_COLUMNS``, one row per item, in order; nats. The summary has the scored ``texts``.

    Args:
        scorer: asks the server for log-probabilities.
        items: prompts and candidates.

    Raises:
        InputError: as ``TextScorer.score``; a candidate merges with the prompt, or has no token.
    """
    texts = [followed(prompt, candidate) for prompt, candidate in items]
    rows = []
    for item, text, tokens in zip(items, texts, scorer.score(texts), strict=True):
        own = continuation(text, tokens, len(item.prompt))
        if own is None:
            raise InputError(
                f"generator prompt {item.prompt[-60:]!r}, candidate {item.candidate!r}: the candidate's first token "
                "merges with the prompt's last; allowed: a form that ends where a token ends (for most tokenizers: "
                "after a word, without a space)."
            )
        if not own:
            raise InputError(f"candidate {item.candidate!r}: got no token from the server; allowed: at least one.")
        rows.append((len(own), *_both(math.fsum(own)), *_both(own[0])))
    return Completed(pd.DataFrame(rows, columns=GENERATOR_COLUMNS), {"texts": texts})


def score_served_validator(scorer: TextScorer, prompts: Sequence[str]) -> Completed:
    """Return ``VALIDATOR_COLUMNS``, one row per prompt, in order; nats.

    The summary has the scored ``texts``, and ``answers``: the spellings that count as yes and no, and the ``dropped``
    ones.

    Args:
        scorer: asks the server for log-probabilities.
        prompts: as the model reads them.

    Raises:
        InputError: as ``TextScorer.score``; no spelling of yes, or none of no, is one token after every prompt.
    """
    # The first prompt is sent separately: most spellings that are not one token can be dropped after it.
    first = _logprobs(scorer, prompts[:1], [*YES, *NO])
    found = _logprobs(scorer, prompts, list(first))
    yes, no = ([spelling for spelling in spellings if spelling in found] for spellings in (YES, NO))
    for left, spellings in ((yes, YES), (no, NO)):
        if not left:
            raise InputError(
                f"{scorer.server.url}: got no token for any of {', '.join(map(repr, spellings))}; "
                "allowed: a model that has one of them as a single token after every prompt of a validator."
            )
    values = [np.logaddexp.reduce([found[spelling] for spelling in spellings], axis=0) for spellings in (yes, no)]
    table = pd.DataFrame(dict(zip(VALIDATOR_COLUMNS, (values[0] - values[1], *values), strict=True)))
    dropped = [spelling for spelling in YES + NO if spelling not in found]
    texts = [prompt + spelling for prompt in prompts[:1] for spelling in dropped if spelling not in first]
    texts += [prompt + spelling for prompt in prompts for spelling in first]
    return Completed(table, {"texts": texts, "answers": {"yes": yes, "no": no, "dropped": dropped}})


def _logprobs(scorer: TextScorer, prompts: Sequence[str], spellings: Sequence[str]) -> dict[str, list[float]]:
    """Return spelling → its log-probability after each prompt, for spellings that are one token after every prompt."""
    asked = [(prompt, prompt + spelling) for spelling in spellings for prompt in prompts]
    scored = iter(scorer.score([text for _, text in asked]))
    found = {
        spelling: [continuation(prompt + spelling, next(scored), len(prompt)) for prompt in prompts]
        for spelling in spellings
    }
    single: dict[str, list[float]] = {}
    for spelling, each in found.items():
        values = [own[0] for own in each if own is not None and len(own) == 1]
        if len(values) == len(prompts):
            single[spelling] = values
    return single


def _both(logprob: float) -> tuple[float, float]:
    """Return log p and log p − log(1−p)."""
    return logprob, float(log_odds(np.array([min(logprob, NEAREST)]))[0])
