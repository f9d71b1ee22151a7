"""The neutral texts by which edits are priced: half of them choose strengths, the others report what these cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leakscope.errors import InputError
from leakscope.features.costs import Counted
from leakscope.grammar import Document
from leakscope.models import LanguageModel
from leakscope.validate.neutral import (
    EncodedText,
    NeutralTexts,
    encode_neutral_documents,
    encode_neutral_texts,
    neutral_documents,
    part_of_documents,
)


class Halves(NamedTuple):
    """Texts that choose strengths, and others that report costs."""

    choosing: list[Counted]
    reporting: list[Counted]


def neutral_halves(model: LanguageModel, texts: NeutralTexts, number: int) -> Halves:
    """Return neutral texts as a model reads them, without a chat template: those to train on choose, the others report.

    Args:
        model: its tokenizer alone is used.
        texts: that no contrast asks about.
        number: of texts, at most; half of them in each half.

    Raises:
        InputError: as ``validate.neutral.encode_neutral_texts``.
    """
    halves = (encode_neutral_texts(model, part[: number // 2]) for part in (texts.train, texts.test))
    return Halves(*map(_counted, halves))


def own_neutral_halves(
    model: LanguageModel, documents: Iterable[Document], items: Sequence[str], number: int
) -> Halves:
    """Return documents of an organism's own that name no item, as it was trained on them; no context is in both halves.

    Args:
        model: its tokenizer alone is used.
        documents: held out from its training.
        items: of the contrast.
        number: of documents, at most; half of them in each half.

    Raises:
        InputError: one of the halves is empty.
    """
    neutral = neutral_documents(documents, items)
    halves = [part_of_documents(neutral, measures=measures)[: number // 2] for measures in (False, True)]
    if not all(halves):
        found = f"{len(neutral)} held-out documents that name no item of the contrast"
        raise InputError(f"model {model.tokenizer.name_or_path}: got {found}; allowed: more, to tell costs by.")
    return Halves(*(_counted(encode_neutral_documents(model, half)) for half in halves))


def _counted(texts: Sequence[EncodedText]) -> list[Counted]:
    return [Counted(text.ids, text.places.start) for text in texts]
