"""Masked scores that do not let a word give itself away: the rest of a token's word is masked with it.

Each token of a long word is all but certain once the others are seen: given "pac" and "##fic", "##i" is no news. The
pseudo-log-likelihood (Salazar et al. 2020) sums such certainties, so that rare, long words seem more probable than
short, common ones. PLL-word-l2r masks, beside the token itself, all tokens to its right in the same word: a word is
then read from left to right, given everything around it.

The code of this module is part of the fingerprint that its values are stored under.

Source: Kauf & Ivanova 2023, "A Better Way to Do Masked Language Model Scoring", arXiv 2305.10588.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PreTrainedModel

from leakscope.models.sentence_logprobs import Scored, TokenRow, score_masked


def score_within_words(
    model: PreTrainedModel, rows: Sequence[TokenRow], mask: int, *, words: Sequence[Sequence[int]], batch_size: int
) -> Iterator[Scored]:
    """Yield row number → log p(token | all others but those to its right in its word), nats, some rows at a time.

    Args:
        model: masked.
        rows: sentences.
        mask: id of the mask token.
        words: of each row, the number of the word of each of its ``places``.
        batch_size: masked copies to a batch; a row has one for each of its ``places``.
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
    """Return a copy for each of the row's places, to be scored there, with what stands right of it in its word masked.

    Args:
        row: a sentence.
        words: the number of the word of each of its ``places``.
        mask: id of the mask token.
    """
    copies = []
    for place, word in zip(row.places, words, strict=True):
        hidden = {other for other, of in zip(row.places, words, strict=True) if of == word and other > place}
        ids = [mask if other in hidden else token for other, token in enumerate(row.ids)]
        copies.append(TokenRow(ids, range(place, place + 1)))
    return copies
