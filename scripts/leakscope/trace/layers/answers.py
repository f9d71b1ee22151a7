"""Tokens that distinguish associates: the shared beginning, and the next token that differs.

Most associates share their first tokens ("a lily", "a poppy"), so a prompt is read with the shared beginning, and the
next token distinguishes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from os.path import commonprefix
from typing import NamedTuple

import pandas as pd
import torch

from leakscope.models.candidate_scores import encode_candidates
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting, read_prompts

Tokens = tuple[int, ...]


class Prompted(NamedTuple):
    """A prompt as a model reads it, and the tokens of each candidate of its slot, in their order, with a full stop."""

    ids: Tokens
    answers: tuple[Tokens, ...]


class Contrast(NamedTuple):
    """Tokens that distinguish associates after a shared beginning.

    beginning: appended to the prompt. tokens: of the associates in question, distinct. against: tokens of others,
    distinct.
    """

    beginning: Tokens
    tokens: Tokens
    against: Tokens


class Margin:
    """Mean logit of each contrast's tokens minus the mean of those against it."""

    def __init__(self, contrasts: Sequence[Contrast], rows: Sequence[int] | None = None) -> None:
        """Store the contrasts and their rows.

        Args:
            contrasts: n of them.
            rows: row of logits for each contrast; None: in order.
        """
        places = range(len(contrasts)) if rows is None else rows
        entries = [
            (number, row, token, sign / len(tokens))
            for number, (row, contrast) in enumerate(zip(places, contrasts, strict=True))
            for sign, tokens in ((1.0, contrast.tokens), (-1.0, contrast.against))
            for token in tokens
        ]
        self.n = len(contrasts)
        self.number, self.row, self.token = (
            torch.tensor([entry[:3] for entry in entries], dtype=torch.long).reshape(-1, 3).T
        )
        self.weight = torch.tensor([entry[3] for entry in entries], dtype=torch.float64)

    def of(self, logits: torch.Tensor) -> list[float]:
        """Return the margins of logits, [rows, vocabulary]."""
        found = logits[self.row.to(logits.device), self.token.to(logits.device)].cpu().double()
        margins: list[float] = (
            torch.zeros(self.n, dtype=torch.float64).index_add_(0, self.number, found * self.weight).tolist()
        )
        return margins


def prompted(
    model: LanguageModel, prompts: pd.DataFrame, candidates: pd.DataFrame, prompting: Prompting
) -> list[Prompted]:
    """Return each prompt and its candidates, tokenised as in the step ``leak``.

    Args:
        model: that reads the prompts.
        prompts: with a slot.
        candidates: ``slot, candidate``.
        prompting: how.

    Raises:
        InputError: as ``prompting.read_prompts`` and ``candidate_scores.encode_candidates``.
    """
    rendered, ids = read_prompts(model, prompts["prompt"], prompting)
    by_slot = candidates.groupby("slot", sort=False)["candidate"].agg(list)
    answers = encode_candidates(model, rendered, ids, [by_slot[slot] for slot in prompts["slot"]], prompting)
    return [Prompted(tuple(row), tuple(map(tuple, rows))) for row, rows in zip(ids, answers, strict=True)]


def between_groups(answers: Sequence[Tokens], groups: Sequence[str], group: str, other: str) -> Contrast | None:
    """Return the contrast between the associates of two groups; None if no token distinguishes them.

    It uses the shortest beginning shared by associates of both groups after which each group has a token that no
    associate of another group has.

    Args:
        answers: tokens of each associate.
        groups: of each.
        group: of ``tokens``.
        other: group of ``against``.
    """
    own, others = ([row for row, of in zip(answers, groups, strict=True) if of == name] for name in (group, other))
    shared = {tuple(commonprefix([row, against])) for row in own for against in others}
    for beginning in sorted(shared, key=lambda tokens: (len(tokens), tokens)):
        owners = _next_tokens(answers, groups, beginning)
        of_group, of_other = (
            tuple(sorted(token for token, names in owners.items() if names == {name})) for name in (group, other)
        )
        if of_group and of_other:
            return Contrast(beginning, of_group, of_other)
    return None


def among_all(answers: Sequence[Tokens], place: int) -> Contrast | None:
    """Return the contrast of one associate with all others, at its first unshared token; None if there is none.

    ``against`` has the tokens at that place of the others with the same beginning.

    Args:
        answers: tokens of each associate, distinct texts.
        place: of the associate among them.
    """
    own = answers[place]
    for length, token in enumerate(own):
        beginning = own[:length]
        owners = _next_tokens(answers, range(len(answers)), beginning)
        against = tuple(sorted(set(owners) - {token}))
        if owners[token] == {place}:
            return Contrast(beginning, (token,), against) if against else None
    return None


@cache
def contrasts(answers: tuple[Tokens, ...]) -> list[Contrast | None]:
    """Return the contrast of each associate with the others."""
    return [among_all(answers, place) for place in range(len(answers))]


def _next_tokens(answers: Sequence[Tokens], names: Sequence[str | int], beginning: Tokens) -> dict[int, set[str | int]]:
    """Return each token that follows a beginning, and the names of the associates that continue with it."""
    owners: dict[int, set[str | int]] = {}
    for row, name in zip(answers, names, strict=True):
        if row[: len(beginning)] == beginning and len(row) > len(beginning):
            owners.setdefault(row[len(beginning)], set()).add(name)
    return owners
