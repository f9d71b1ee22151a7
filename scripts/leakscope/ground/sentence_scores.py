"""From filled templates and a model to a table of sentence scores.

What the store has is taken from it; the weights are loaded only if something is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.ground.templates import FilledSentence
from leakscope.jobs.progress import progress
from leakscope.models.finite import check_values
from leakscope.models.kinds import CAUSAL, ENCODER_DECODER, MASKED, kind_of
from leakscope.models.opening import LanguageModel
from leakscope.models.prompting import Completed, ids_digest
from leakscope.storage.fingerprints import sentence_fingerprint
from leakscope.storage.store import Key, Store, recall

Sentence = FilledSentence
SENTINEL = "<extra_id_0>"
SENTENCE_COLUMNS = ["tokens", "logprob", "logprob_mean", "logprob_span", "pmi"]


class EncodedSentence(NamedTuple):
    """A sentence as a model reads it.

    ids: with the special tokens around it.
    places: of the tokens that are scored: all of the sentence's own.
    offsets: the characters of each of these, beginning and end.
    """

    ids: list[int]
    places: range
    offsets: list[tuple[int, int]]


def score_sentences(
    model: LanguageModel, sentences: Sequence[Sentence], name: str, *, batch_size: int, store: Path | None
) -> Completed:
    """Return ``tokens, logprob, logprob_mean, logprob_span, pmi``, one row a sentence, in their order; nats.

    ``logprob`` is the sum over the sentence's tokens, ``logprob_mean`` a token's share of it, ``logprob_span`` the sum
    over tokens of the span, ``pmi`` is log p(sentence) − log p(sentence with the subject left out). What a token's
    log-probability is with each kind of model, ``sentence_logprobs`` says. Each distinct text is scored once.

    Args:
        model: of any kind.
        sentences: filled templates.
        name: the model's name in the study.
        batch_size: sentences to a batch; of models that are not causal, sentences with one token blanked out.
        store: the folder of all stores; None keeps nothing.

    Raises:
        InputError: a text has no token or does not fit the model's context; a span has no token; the tokenizer lacks
            offsets, or the special token that sentences of this kind of model need; the model gives no numbers.
    """
    distinct = list(dict.fromkeys(text for sentence in sentences for text in (sentence.text, sentence.rest)))
    encoded = dict(zip(distinct, encode_sentences(model, distinct), strict=True))
    spans = [tokens_of_span(sentence, encoded[sentence.text].offsets) for sentence in sentences]
    keys: dict[str, Key] = {
        text: (text, ids_digest(sentence.ids, [sentence.places.start, sentence.places.stop]))
        for text, sentence in encoded.items()
    }

    def score(missing: list[Key]) -> Iterator[dict[Key, list[float]]]:
        return _score(model, missing, [encoded[str(key[0])] for key in missing], name, batch_size)

    opened = None if store is None else Store(store, sentence_fingerprint(model.identity, kind_of(model.config)))
    wanted = [keys[text] for sentence in sentences for text in (sentence.text, sentence.rest)]
    scores = recall(opened, wanted, score)
    rows = []
    for sentence, span in zip(sentences, spans, strict=True):
        values, rest = scores.values[keys[sentence.text]], scores.values[keys[sentence.rest]]
        total = math.fsum(values)
        of_span = math.fsum(values[token] for token in span)
        rows.append((len(values), total, total / len(values), of_span, total - math.fsum(rest)))
    return Completed(pd.DataFrame(rows, columns=SENTENCE_COLUMNS), scores.summary(len(wanted)))


def encode_sentences(model: LanguageModel, texts: Sequence[str]) -> list[EncodedSentence]:
    """Return every text as the model reads it, whole and without a chat template.

    A causal model reads a beginning first, so that the first token has a probability, too: templates may begin with the
    group. It is what the tokenizer itself puts there, else its beginning of text, else that of the model's
    configuration, else the tokenizer's end of text, which is what separates the documents that many models were trained
    on. What a tokenizer puts after a text is left out.

    Raises:
        InputError: as ``score_sentences``.
    """
    tokenizer, kind = model.tokenizer, kind_of(model.config)
    if not tokenizer.is_fast:
        raise _lacking(model, "no offsets of tokens", "a fast tokenizer (tokenizer.json)")
    _special_tokens(model, kind)
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_attention_mask": False}
    read = tokenizer(list(texts), **options) if texts else {"input_ids": []}
    encoded = []
    for i, (text, ids) in enumerate(zip(texts, read["input_ids"], strict=True)):
        own = [place for place, special in enumerate(read["special_tokens_mask"][i]) if not special]
        if not own:
            raise InputError(f"sentence {text!r}: has no token for model {tokenizer.name_or_path}.")
        before, after = own[0], own[-1] + 1
        offsets = [tuple(pair) for pair in read["offset_mapping"][i][before:after]]
        if kind == CAUSAL:
            lead = ids[:before] or [_beginning(model)]
            ids, before, after = lead + ids[before:after], len(lead), len(lead) + after - before
        encoded.append(EncodedSentence(ids, range(before, after), offsets))
    _check_lengths(model, texts, encoded)
    return encoded


def tokens_of_span(sentence: Sentence, offsets: Sequence[tuple[int, int]]) -> range:
    """Return the tokens of the sentence's span, from the first to the last that cover a character of it.

    Spaces do not count, for in some tokenizers the space before a word is its first token's, in others not. One that is
    a token of its own counts between two words of the span.

    Args:
        sentence: with its span.
        offsets: the characters of each token, beginning and end.

    Raises:
        InputError: none does.
    """
    low, high = sentence.span
    covering = [
        number for number, (begin, end) in enumerate(offsets) if sentence.text[max(begin, low) : min(end, high)].strip()
    ]
    if not covering:
        raise InputError(f"sentence {sentence.text!r}: no token covers its characters {low} to {high}, the span.")
    return range(covering[0], covering[-1] + 1)


def _score(
    model: LanguageModel, missing: list[Key], sentences: Sequence[EncodedSentence], name: str, batch_size: int
) -> Iterator[dict[Key, list[float]]]:
    """Yield the missing scores, some sentences at a time: the log-probability of every token."""
    # Imported here: the models' code costs seconds, and a job whose scores are all there needs none of it.
    from leakscope.models import sentence_logprobs

    kind = kind_of(model.config)
    special = _special_tokens(model, kind)
    rows = [sentence_logprobs.TokenRow(sentence.ids, sentence.places) for sentence in sentences]
    score: Mapping[str, Any] = {
        CAUSAL: sentence_logprobs.score_causal,
        MASKED: sentence_logprobs.score_masked,
        ENCODER_DECODER: sentence_logprobs.score_encoder_decoder,
    }
    scored = score[kind](model.model, rows, *special, batch_size=batch_size)
    for batch in progress(scored, total=len(missing), name=name, unit="sentence", size=len):
        found = {missing[row]: values for row, values in batch.items()}
        check_values(found, name)
        yield found


def _special_tokens(model: LanguageModel, kind: str) -> list[int]:
    """Return the ids that blank out a token: none, the mask, or sentinel and the decoder's start."""
    if kind == CAUSAL:
        return []
    if kind == MASKED:
        if model.tokenizer.mask_token_id is None:
            raise _lacking(model, "no mask token", "a tokenizer with one for a masked model")
        return [int(model.tokenizer.mask_token_id)]
    sentinel = model.tokenizer.get_vocab().get(SENTINEL)
    if sentinel is None:
        raise _lacking(model, f"no {SENTINEL}", "encoder–decoder models of the T5 family")
    starts = [getattr(one, "decoder_start_token_id", None) for one in (model.generation_config, model.config)]
    start = next((start for start in starts if start is not None), None)
    if start is None:
        raise _lacking(model, "no decoder_start_token_id", "a generation config or config with one")
    return [int(sentinel), int(start)]


def _beginning(model: LanguageModel) -> int:
    """Return the id that comes before a text where the tokenizer puts nothing there.

    The model's own configuration goes before the tokenizer's end of text, which in a chat model is the end of a turn:
    Qwen2.5 and Qwen2.5-Instruct then begin alike. It must be a special token: many configurations have one by default.
    """
    of_model = getattr(model.config.get_text_config(), "bos_token_id", None)
    if of_model not in model.tokenizer.all_special_ids:
        of_model = None
    for token in (model.tokenizer.bos_token_id, of_model, model.tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise _lacking(model, "no beginning and no end of text", "a tokenizer with one of them, or that adds its own")


def _check_lengths(model: LanguageModel, texts: Sequence[str], encoded: Sequence[EncodedSentence]) -> None:
    contexts = [getattr(model.config.get_text_config(), "max_position_embeddings", None)]
    longest = min(context for context in [*contexts, model.tokenizer.model_max_length] if context is not None)
    for text, sentence in zip(texts, encoded, strict=True):
        if len(sentence.ids) > longest:
            raise InputError(
                f"sentence {text[:60]!r}: {len(sentence.ids)} tokens with its beginning and end; "
                f"the model reads at most {longest}."
            )


def _lacking(model: LanguageModel, found: str, allowed: str) -> InputError:
    return InputError(
        f"model {model.tokenizer.name_or_path}: got {found}, by which sentences are scored; allowed: {allowed}."
    )
