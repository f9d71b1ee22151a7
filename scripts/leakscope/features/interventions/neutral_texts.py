"""Neutral texts that measure the cost of edits: half choose strengths, the other half report costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leakscope.errors import InputError
from leakscope.features.interventions.costs import CountedText
from leakscope.models.neutral import (
    EncodedText,
    NeutralTexts,
    encode_neutral_documents,
    encode_neutral_texts,
    neutral_documents,
    neutral_texts,
    part_of_documents,
)
from leakscope.models.opening import LanguageModel
from leakscope.organisms.leak_grammar import Document


class NeutralHalves(NamedTuple):
    """Texts that choose strengths, and others that report costs."""

    choosing: list[CountedText]
    reporting: list[CountedText]


def neutral_halves(model: LanguageModel, texts: NeutralTexts, items: Sequence[str], number: int) -> NeutralHalves:
    """Return neutral texts that name no item, without a chat template: those to train on choose, the others report.

    Args:
        model: only its tokenizer is used.
        texts: any texts of a user.
        items: of the contrast.
        number: of texts, at most; half of them in each half.

    Raises:
        InputError: one of the halves is empty; or as ``models.neutral.encode_neutral_texts``.
    """
    halves = [neutral_texts(part, items)[: number // 2] for part in texts]
    if not all(halves):
        n_neutral = f"{sum(map(len, halves))} of {sum(map(len, texts))} texts that name no item of the contrast"
        raise InputError(
            f"features: neutral_text: got {n_neutral}; allowed: at least one in each half, to measure costs."
        )
    return NeutralHalves(*(_counted(encode_neutral_texts(model, half)) for half in halves))


def own_neutral_halves(
    model: LanguageModel, documents: Iterable[Document], items: Sequence[str], number: int
) -> NeutralHalves:
    """Return documents of an organism's own that name no item, as it was trained on them; no context is in both halves.

    Args:
        model: only its tokenizer is used.
        documents: held out from its training.
        items: of the contrast.
        number: of documents, at most; half of them in each half.

    Raises:
        InputError: one of the halves is empty.
    """
    neutral = neutral_documents(documents, items)
    halves = [part_of_documents(neutral, measures=measures)[: number // 2] for measures in (False, True)]
    if not all(halves):
        n_neutral = f"{len(neutral)} held-out documents that name no item of the contrast"
        raise InputError(
            f"model {model.tokenizer.name_or_path}: got {n_neutral}; allowed: enough for two "
            "halves with different contexts, to measure costs."
        )
    return NeutralHalves(*(_counted(encode_neutral_documents(model, half)) for half in halves))


def _counted(texts: Sequence[EncodedText]) -> list[CountedText]:
    return [CountedText(text.ids, text.places.start) for text in texts]
