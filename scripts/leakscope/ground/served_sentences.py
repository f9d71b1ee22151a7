"""Sentence scores of filled templates by a model behind a server."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from leakscope.errors import InputError
from leakscope.ground.sentence_scores import SENTENCE_COLUMNS, Sentence, tokens_of_span
from leakscope.models.prompts.prompting import Completed
from leakscope.web.scoring import TextScorer, continuation
from leakscope.web.token_logprobs import TokenLogprobs


def score_served_sentences(scorer: TextScorer, sentences: Sequence[Sentence], beginning: str | None) -> Completed:
    """Return ``SENTENCE_COLUMNS``, one row per sentence, in order; nats. As ``score_sentences`` for a causal model.

    Args:
        scorer: asks the server for log-probabilities.
        sentences: filled templates.
        beginning: text put before each sentence; None: the server adds its own.

    Raises:
        InputError: as ``TextScorer.score``; a sentence or a span has no token; a token spans beginning and sentence;
            neither the model's entry nor the server has a beginning.
    """
    lead = beginning or ""
    texts = [text for sentence in sentences for text in (sentence.text, sentence.rest)]
    for text in texts:
        if not text:
            raise InputError(f"sentence {text!r}: got no token; allowed: templates with text besides the subject.")
    asked = {text: lead + text for text in texts}
    tokens = dict(zip(asked, scorer.score(asked.values()), strict=True))
    values = {text: _own(asked[text], tokens[text], lead) for text in asked}
    rows = []
    for text, span, rest in sentences:
        own, total = values[text], math.fsum(values[text])
        of_span = tokens_of_span(Sentence(text, span, rest), _offsets(tokens[text], len(lead)))
        rows.append(
            (
                len(own),
                total,
                total / len(own),
                math.fsum(own[token] for token in of_span),
                total - math.fsum(values[rest]),
            )
        )
    return Completed(pd.DataFrame(rows, columns=SENTENCE_COLUMNS), scorer.summary([asked[text] for text in texts]))


def _own(asked: str, tokens: TokenLogprobs, lead: str) -> list[float]:
    """Return the log-probability of each token of a sentence."""
    own = continuation(asked, tokens, len(lead))
    if own is None:
        raise InputError(
            f"sentence {asked[len(lead) :]!r}: its first token merges with `beginning`, {lead!r}; allowed: a beginning "
            "that is a token of its own, such as the model's end of text."
        )
    return own


def _offsets(tokens: TokenLogprobs, begins: int) -> list[tuple[int, int]]:
    """Return start and end of the tokens of a sentence, relative to its first character ``begins``."""
    starts = [0, *tokens.ends[:-1]]
    return [(start - begins, end - begins) for start, end in zip(starts, tokens.ends, strict=True) if start >= begins]
