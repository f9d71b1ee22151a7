"""Sentences as a model reads them: whole, without a chat template, with a beginning and the places that are scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from leakscope.errors import InputError
from leakscope.models.kinds import CAUSAL, MASKED, kind_of
from leakscope.models.opening import LanguageModel

SENTINEL = "<extra_id_0>"


class EncodedSentence(NamedTuple):
    """A sentence as a model reads it.

    ids: with the special tokens around it.
    places: of the tokens that are scored: all of the sentence's own.
    offsets: the characters of each of these, beginning and end.
    """

    ids: list[int]
    places: range
    offsets: list[tuple[int, int]]


def encode_sentences(model: LanguageModel, texts: Sequence[str]) -> list[EncodedSentence]:
    """Return every text as the model reads it, whole and without a chat template.

    A causal model reads a beginning first, so that the first token has a probability, too: templates may begin with the
    group. It is what the tokenizer itself puts there, else its beginning of text, else that of the model's
    configuration, else the tokenizer's end of text, which is what separates the documents that many models were trained
    on. What a tokenizer puts after a text is left out.

    Raises:
        InputError: a text has no token or does not fit the model's context; the tokenizer lacks offsets, or the special
            token that sentences of this kind of model need.
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
            raise InputError(f"sentence {text!r}: has no token for model {tokenizer.name_or_path}.")
        before, after = own[0], own[-1] + 1
        offsets = [tuple(pair) for pair in read["offset_mapping"][i][before:after]]
        if kind == CAUSAL:
            lead = ids[:before] or [_beginning(model)]
            ids, before, after = lead + ids[before:after], len(lead), len(lead) + after - before
        encoded.append(EncodedSentence(ids, range(before, after), offsets))
    _check_lengths(model, texts, encoded)
    return encoded


def word_numbers(model: LanguageModel, texts: Sequence[str]) -> list[list[int]]:
    """Return, for each token of each text that is scored, the number of its word.

    Words are what the tokenizer divides a text into before it divides words: of BERT's, what stands between spaces and
    punctuation. A token of no word is one of its own.

    Args:
        model: with a fast tokenizer, that is not causal.
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
    """Return the ids that blank out a token: none, the mask, or sentinel and the decoder's start."""
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
    raise _no_token_error(
        model, "no beginning and no end of text", "a tokenizer with one of them, or that adds its own"
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
        f"model {model.tokenizer.name_or_path}: got {what}, by which sentences are scored; allowed: {allowed}."
    )
