"""Sentence scores of filled templates by a local model.

Stored scores are reused; the weights are loaded only if scores are missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from leakscope.errors import InputError
from leakscope.ground.templates import FilledSentence
from leakscope.jobs.progress import progress
from leakscope.models.finite import check_values
from leakscope.models.kinds import CAUSAL, ENCODER_DECODER, MASKED, kind_of
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed, ids_digest
from leakscope.models.sentences import EncodedSentence, encode_sentences, special_tokens, word_numbers
from leakscope.storage.fingerprints import sentence_fingerprint
from leakscope.storage.store import Key, Store, recall

Sentence = FilledSentence
TOKEN, WITHIN_WORD = MASKINGS = ("token", "within_word")
SENTENCE_COLUMNS = ["tokens", "logprob", "logprob_mean", "logprob_span", "pmi"]


def score_sentences(
    model: LanguageModel,
    sentences: Sequence[Sentence],
    name: str,
    *,
    batch_size: int,
    store: Path | None,
    masking: str = TOKEN,
) -> Completed:
    """Return ``tokens, logprob, logprob_mean, logprob_span, pmi`` of sentences, one row each, in order; nats.

    ``logprob`` is the sum over the sentence's tokens, ``logprob_mean`` the mean per token, ``logprob_span`` the sum
    over the span's tokens, ``pmi`` is log p(sentence) − log p(sentence without the subject). ``sentence_logprobs``
    defines a token's log-probability for each kind of model. Each distinct text is scored once.

    Args:
        model: of any kind.
        sentences: filled templates.
        name: the model's name in the study.
        batch_size: sentences per batch; for models that are not causal, sentences with one token masked.
        store: the folder of all stores; None stores nothing.
        masking: one of ``MASKINGS``: whether a masked model masks only the token, or also all tokens to its right in
            the same word (``within_word``). Without effect for other kinds of model.

    Raises:
        InputError: a text has no token or does not fit the model's context; a span has no token; the tokenizer lacks
            offsets or a special token that this kind of model needs; the model returns NaN or infinite values.
    """
    distinct = list(dict.fromkeys(text for sentence in sentences for text in (sentence.text, sentence.rest)))
    encoded = dict(zip(distinct, encode_sentences(model, distinct), strict=True))
    spans = [tokens_of_span(sentence, encoded[sentence.text].offsets) for sentence in sentences]
    keys: dict[str, Key] = {
        text: (text, ids_digest(sentence.ids, [sentence.places.start, sentence.places.stop]))
        for text, sentence in encoded.items()
    }

    kind = kind_of(model.config)
    within_word = masking == WITHIN_WORD and kind == MASKED

    def score(missing: list[Key]) -> Iterator[dict[Key, list[float]]]:
        return _score(model, missing, [encoded[str(key[0])] for key in missing], name, batch_size, within_word)

    fingerprint = sentence_fingerprint(model.identity, kind, within_word=within_word)
    opened = None if store is None else Store(store, fingerprint)
    wanted = [keys[text] for sentence in sentences for text in (sentence.text, sentence.rest)]
    scores = recall(opened, wanted, score)
    rows = []
    for sentence, span in zip(sentences, spans, strict=True):
        values, rest = scores.values[keys[sentence.text]], scores.values[keys[sentence.rest]]
        total = math.fsum(values)
        of_span = math.fsum(values[token] for token in span)
        rows.append((len(values), total, total / len(values), of_span, total - math.fsum(rest)))
    return Completed(pd.DataFrame(rows, columns=SENTENCE_COLUMNS), scores.summary(len(wanted)))


def tokens_of_span(sentence: Sentence, offsets: Sequence[tuple[int, int]]) -> range:
    """Return the tokens of the sentence's span, from the first to the last that cover a character of the span.

    Spaces are ignored at the ends of the span, because tokenizers differ in whether a word's first token includes the
    space before it.

    Args:
        sentence: with its span.
        offsets: start and end character of each token.

    Raises:
        InputError: no token covers the span.
    """
    low, high = sentence.span
    covering = [
        number for number, (begin, end) in enumerate(offsets) if sentence.text[max(begin, low) : min(end, high)].strip()
    ]
    if not covering:
        raise InputError(
            f"sentence {sentence.text!r}: got no token for the group (characters {low} to {high}); check its name in "
            "the lexicon and the model's tokenizer."
        )
    return range(covering[0], covering[-1] + 1)


def _score(
    model: LanguageModel,
    missing: list[Key],
    sentences: Sequence[EncodedSentence],
    name: str,
    batch_size: int,
    within_word: bool,
) -> Iterator[dict[Key, list[float]]]:
    """Yield the missing scores in batches of sentences: the log-probability of every token."""
    # Imported here, because the models' code takes seconds to import and is not needed if all scores are stored.
    from leakscope.ground.within_word import score_within_words
    from leakscope.models import sentence_logprobs

    kind = kind_of(model.config)
    special = special_tokens(model, kind)
    rows = [sentence_logprobs.TokenRow(sentence.ids, sentence.places) for sentence in sentences]
    words = word_numbers(model, [str(text) for text, _ in missing]) if within_word else []
    score: Mapping[str, Any] = {
        CAUSAL: sentence_logprobs.score_causal,
        MASKED: partial(score_within_words, words=words) if within_word else sentence_logprobs.score_masked,
        ENCODER_DECODER: sentence_logprobs.score_encoder_decoder,
    }
    scored = score[kind](model.model, rows, *special, batch_size=batch_size)
    for batch in progress(scored, total=len(missing), name=name, unit="sentence", size=len):
        logprobs = {missing[row]: values for row, values in batch.items()}
        check_values(logprobs, name)
        yield logprobs
