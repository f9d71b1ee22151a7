"""Encodes sentences for scoring: whole, without chat template, with a beginning token and the scored positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from leakscope.errors import InputError
from leakscope.models.kinds import CAUSAL, MASKED, kind_of
from leakscope.models.opening import LanguageModel

SENTINEL = "<extra_id_0>"


class EncodedSentence(NamedTuple):
    """An encoded sentence.

    ids: including special tokens.
    places: positions of the scored tokens: all of the sentence's own.
    offsets: first and end character of each scored token.
    """

    ids: list[int]
    places: range
    offsets: list[tuple[int, int]]


def encode_sentences(model: LanguageModel, texts: Sequence[str]) -> list[EncodedSentence]:
    """Return every text encoded whole, without chat template.

    A causal model reads a beginning token first, so that the first token also has a probability: templates may begin
    with the group. The beginning is the tokenizer's own prefix, else its beginning-of-text token, else that of the
    model's configuration, else the tokenizer's end-of-text token, which separates documents in the training of many
    models. Tokens that a tokenizer appends are left out.

    Raises:
        InputError: a text has no token or does not fit the model's context; the tokenizer lacks offsets, or a special
            token that this kind of model needs.
    """
    tokenizer, kind = model.tokenizer, kind_of(model.config)
    if not tokenizer.is_fast:
        raise _no_token_error(model, "no offsets of tokens", "a fast tokenizer (tokenizer.json)")
    special_tokens(model, kind)
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_attention_mask": False}
    read = tokenizer(list(texts), **options) if texts else {"input_ids": []}
    encoded = []
    for i, (text, ids) in enumerate(zip(texts, read["input_ids"], strict=True)):
        own = [place for place, special in enumerate(read["special_tokens_mask"][i]) if not special]
        if not own:
            raise InputError(
                f"sentence {text!r}: got no token from the tokenizer of {tokenizer.name_or_path}; "
                "allowed: at least one."
            )
        before, after = own[0], own[-1] + 1
        offsets = [tuple(pair) for pair in read["offset_mapping"][i][before:after]]
        if kind == CAUSAL:
            lead = ids[:before] or [_beginning(model)]
            ids, before, after = lead + ids[before:after], len(lead), len(lead) + after - before
        encoded.append(EncodedSentence(ids, range(before, after), offsets))
    _check_lengths(model, texts, encoded)
    return encoded


def word_numbers(model: LanguageModel, texts: Sequence[str]) -> list[list[int]]:
    """Return the word number of each scored token of each text.

    Words are those of the tokenizer's pre-tokenization; for BERT, text between spaces and punctuation. A token outside
    any word counts as its own word.

    Args:
        model: not causal, with a fast tokenizer.
        texts: as ``encode_sentences`` takes them.
    """
    read = model.tokenizer(list(texts), return_special_tokens_mask=True, return_attention_mask=False)
    numbers = []
    for i, special in enumerate(read["special_tokens_mask"]):
        own = [place for place, is_special in enumerate(special) if not is_special]
        words = read.encodings[i].word_ids[own[0] : own[-1] + 1]
        numbers.append([-1 - place if word is None else word for place, word in enumerate(words)])
    return numbers


def special_tokens(model: LanguageModel, kind: str) -> list[int]:
    """Return the ids needed to blank out a token: none, the mask, or sentinel and decoder start."""
    if kind == CAUSAL:
        return []
    if kind == MASKED:
        if model.tokenizer.mask_token_id is None:
            raise _no_token_error(model, "no mask token", "a tokenizer with one for a masked model")
        return [int(model.tokenizer.mask_token_id)]
    sentinel = model.tokenizer.get_vocab().get(SENTINEL)
    if sentinel is None:
        raise _no_token_error(model, f"no {SENTINEL}", "encoder–decoder models of the T5 family")
    starts = [getattr(one, "decoder_start_token_id", None) for one in (model.generation_config, model.config)]
    start = next((start for start in starts if start is not None), None)
    if start is None:
        raise _no_token_error(model, "no decoder_start_token_id", "a generation config or config with one")
    return [int(sentinel), int(start)]


def _beginning(model: LanguageModel) -> int:
    """Return the id of the beginning token if the tokenizer adds none.

    The model's configuration is preferred to the tokenizer's end-of-text token, which in a chat model ends a turn: so
    Qwen2.5 and Qwen2.5-Instruct have the same beginning. Only a special token counts: many configurations have a
    meaningless default.
    """
    of_model = getattr(model.config.get_text_config(), "bos_token_id", None)
    if of_model not in model.tokenizer.all_special_ids:
        of_model = None
    for token in (model.tokenizer.bos_token_id, of_model, model.tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise _no_token_error(
        model, "no beginning-of-text or end-of-text token", "a tokenizer with one of them, or that adds its own"
    )


def _check_lengths(model: LanguageModel, texts: Sequence[str], encoded: Sequence[EncodedSentence]) -> None:
    contexts = [getattr(model.config.get_text_config(), "max_position_embeddings", None)]
    longest = min(context for context in [*contexts, model.tokenizer.model_max_length] if context is not None)
    for text, sentence in zip(texts, encoded, strict=True):
        if len(sentence.ids) > longest:
            raise InputError(
                f"sentence {text[:60]!r}: {len(sentence.ids)} tokens with its beginning and end; "
                f"the model reads at most {longest}."
            )


def _no_token_error(model: LanguageModel, what: str, allowed: str) -> InputError:
    return InputError(
        f"model {model.tokenizer.name_or_path}: got {what}, needed to score sentences; allowed: {allowed}."
    )
