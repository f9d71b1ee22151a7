"""Masked scores with PLL-word-l2r: the tokens to the right in the same word are masked too.

Each token of a long word is nearly certain given the others: "##i" between "pac" and "##fic". The pseudo-log-likelihood
(Salazar et al. 2020) therefore rates rare, long words as more probable than short, common ones. PLL-word-l2r masks the
token itself and all tokens to its right in the same word, so that a word is predicted from left to right given its
context on both sides.

The fingerprint of its stored values includes this module's code.

Source: Kauf & Ivanova 2023, "A Better Way to Do Masked Language Model Scoring", arXiv 2305.10588.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PreTrainedModel

from leakscope.models.sentence_logprobs import Scored, TokenRow, score_masked


def score_within_words(
    model: PreTrainedModel, rows: Sequence[TokenRow], mask: int, *, words: Sequence[Sequence[int]], batch_size: int
) -> Iterator[Scored]:
    """Yield row number → log p(token | all tokens except those to its right in its word), nats, in batches of rows.

    Args:
        model: a masked model.
        rows: sentences.
        mask: id of the mask token.
        words: for each row, the word number of each of its ``places``.
        batch_size: masked copies per batch; a row has one copy per place.
    """
    copies = [
        (number, copy)
        for number, (row, of_row) in enumerate(zip(rows, words, strict=True))
        for copy in masked_copies(row, of_row, mask)
    ]
    found: dict[int, dict[int, float]] = {}
    for batch in score_masked(model, [copy for _, copy in copies], mask, batch_size=batch_size):
        finished = {}
        for place, (value,) in batch.items():
            number, copy = copies[place]
            values = found.setdefault(number, {})
            values[copy.places.start] = value
            if len(values) == len(rows[number].places):
                finished[number] = [value for _, value in sorted(found.pop(number).items())]
        if finished:
            yield finished


def masked_copies(row: TokenRow, words: Sequence[int], mask: int) -> list[TokenRow]:
    """Return one copy of the row per place, to be scored there, with the tokens to its right in its word masked.

    Args:
        row: a sentence.
        words: the word number of each of its ``places``.
        mask: id of the mask token.
    """
    copies = []
    for place, word in zip(row.places, words, strict=True):
        hidden = {other for other, of in zip(row.places, words, strict=True) if of == word and other > place}
        ids = [mask if other in hidden else token for other, token in enumerate(row.ids)]
        copies.append(TokenRow(ids, range(place, place + 1)))
    return copies
