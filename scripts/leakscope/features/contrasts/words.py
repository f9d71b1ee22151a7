"""The texts of a contrast as a model reads them, and the first tokens of the words of its sides."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.features.contrasts.items import ITEM, SPLITS
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting, read_prompts
from leakscope.models.prompts.rendering import answer_lead, encode_continuations
from leakscope.models.sentences import encode_sentences

logger = logging.getLogger(__name__)


class WordSet(NamedTuple):
    """Token ids of both sides; the probability of side b counts ``weight_b`` times."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    weight_b: float


class EncodedTexts(NamedTuple):
    """The texts of a contrast as a model reads them, each with the words of both sides."""

    ids: list[list[int]]
    words: list[WordSet]


class _ReadText(NamedTuple):
    """A text as a model reads it: rendered, its ids, the tokenizer's ids, and the joint before an answer."""

    text: str
    ids: list[int]
    own: list[int]
    joint: str


def encode_texts(
    model: LanguageModel, texts: pd.DataFrame, prompting: Prompting | None
) -> tuple[pd.DataFrame, EncodedTexts]:
    """Return texts of a contrast as a model reads them, and the first tokens of the words of both sides.

    Tokens that both sides share are left out. In a contrast of a prompt set, prompts with a side of only shared tokens
    are left out of the returned table, and ``weight_b`` counts the remaining words.

    Args:
        model: only its tokenizer is used.
        texts: as ``items`` returns them.
        prompting: how prompts of a prompt set are given to the model; None: as plain texts, after its beginning.

    Raises:
        InputError: a text has no token or does not fit, a side of a contrast of templates has no token of its own, or
            no prompt of a split has such words.
    """
    chat = prompting is None or prompting.chat
    encoded, kept = EncodedTexts([], []), []
    rows = zip(_read(model, texts["text"], prompting), *(texts[name] for name in _COLUMNS), strict=True)
    for row, (read, lead, side_a, side_b, weight) in enumerate(rows):
        said: list[int] = []
        text, before = read.text, read.joint
        if lead:
            said = encode_continuations(model.tokenizer, text, read.own, [lead], lead=before, chat=chat)[0]
            text, before = f"{text}{'' if text[-1:].isspace() else before}{lead}", " "
        a, b = (
            [
                ids[0]
                for ids in encode_continuations(model.tokenizer, text, read.own + said, side, lead=before, chat=chat)
            ]
            for side in (side_a, side_b)
        )
        own = WordSet(_without(a, b), _without(b, a), float(weight))
        if prompting is None:
            _require(own, side_a, side_b)
        elif not own.a or not own.b:
            continue
        else:
            own = own._replace(weight_b=own.weight_b * len(side_b) / len(own.b))
        kept.append(row)
        encoded.ids.append(read.ids + said)
        encoded.words.append(own)
    table = texts.iloc[kept].assign(weight_b=[words.weight_b for words in encoded.words]).reset_index(drop=True)
    logger.info("%d of %d texts have words that the tokenizer tells apart", len(table), len(texts))
    for split in SPLITS:
        if not (table["kind"].eq(ITEM) & table["split"].eq(split)).any():
            lacking = f"no prompt for {split} whose candidates begin with different tokens"
            raise InputError(f"contrast: got {lacking}; allowed: at least one.")
    return table, encoded


def encoded_texts(prompts: pd.DataFrame) -> EncodedTexts:
    """Return texts as a model reads them from their table, ``PROMPT_COLUMNS``."""
    words = [
        WordSet(tuple(map(int, a)), tuple(map(int, b)), float(weight))
        for a, b, weight in zip(prompts["words_a"], prompts["words_b"], prompts["weight_b"], strict=True)
    ]
    return EncodedTexts([list(map(int, ids)) for ids in prompts["ids"]], words)


_COLUMNS = ("lead", "side_a", "side_b", "weight_b")


def _read(model: LanguageModel, texts: pd.Series, prompting: Prompting | None) -> list[_ReadText]:
    if prompting is None:
        sentences = encode_sentences(model, texts.tolist())
        both = zip(texts, sentences, strict=True)
        return [_ReadText(text, sentence.ids, sentence.ids[sentence.places.start :], " ") for text, sentence in both]
    rendered, ids = read_prompts(model, texts, prompting)
    lead = answer_lead(model.tokenizer, chat=prompting.chat, chat_template_kwargs=prompting.chat_template_kwargs)
    return [_ReadText(text, row, row, lead) for text, row in zip(rendered, ids, strict=True)]


def _without(tokens: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
    return tuple(token for token in dict.fromkeys(tokens) if token not in others)


def _require(words: WordSet, side_a: Sequence[str], side_b: Sequence[str]) -> None:
    for name, tokens, side in (("a", words.a, side_a), ("b", words.b, side_b)):
        if not tokens:
            raise InputError(
                f"contrast: side {name} ({', '.join(side)}): got only first tokens that the other side also has; "
                "allowed: words that the model's tokenizer tells apart by their first token."
            )
