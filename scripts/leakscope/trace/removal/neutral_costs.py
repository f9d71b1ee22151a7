"""What a change costs: by how many percent perplexity grows on texts that have nothing to do with the concept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from leakscope.errors import InputError
from leakscope.jobs.batching import cut, shrinking
from leakscope.models.finite import no_numbers
from leakscope.models.neutral import (
    EncodedText,
    encode_neutral_documents,
    encode_neutral_texts,
    neutral_documents,
    part_of_documents,
    read_neutral_texts,
)
from leakscope.models.opening import LanguageModel
from leakscope.organisms.leak_grammar import Document

MOST_TEXTS = 200  # of a half
FRONTS = 6
BREAK = "\n\n"  # between a wording and the text after it


class CostTexts(NamedTuple):
    """Texts that choose strengths, and others that report costs."""

    choosing: list[EncodedText]
    reporting: list[EncodedText]


def halves_of_file(model: LanguageModel, path: Path) -> CostTexts:
    """Return the texts of a file, every second one to report by.

    Raises:
        InputError: as ``read_neutral_texts`` and ``encode_neutral_texts``.
    """
    return CostTexts(*(encode_neutral_texts(model, half[:MOST_TEXTS]) for half in read_neutral_texts(path)))


def halves_of_corpus(model: LanguageModel, documents: Iterable[Document], concepts: Iterable[str]) -> CostTexts:
    """Return documents of an organism's corpus that name no concept; no context is in both halves.

    Raises:
        InputError: one of the halves is empty.
    """
    neutral = neutral_documents(documents, concepts)
    halves = [part_of_documents(neutral, measures=measures)[:MOST_TEXTS] for measures in (False, True)]
    if not all(halves):
        found = f"model {model.tokenizer.name_or_path}: got {len(neutral)} documents of its corpus that name no concept"
        raise InputError(f"{found}; allowed: documents with more contexts, to measure costs.")
    return CostTexts(*(encode_neutral_documents(model, half) for half in halves))


class Costs:
    """Percent of perplexity of some texts by which changed models are dearer than the model itself."""

    def __init__(
        self, model: LanguageModel, texts: Sequence[EncodedText], fronts: Sequence[str], *, batch_size: int
    ) -> None:
        """Read the texts with the model as it is; ``fronts``: others, which the texts are read after beside a prompt.

        Raises:
            InputError: the model's outputs are not finite.
        """
        self.model, self.texts, self.fronts, self.batch_size = model, texts, fronts, batch_size
        self.base = nats_per_token(model, texts, batch_size=batch_size)
        if not math.isfinite(self.base):
            raise no_numbers(model.tokenizer.name_or_path, "after neutral texts")

    def percent(self, model: LanguageModel, before: Sequence[int] = ()) -> float:
        """Return 100 (e^(h − h₀) − 1), h in nats per token; infinite where the model gives no numbers any more."""
        nats = nats_per_token(model, self.texts, before, batch_size=self.batch_size)
        base = self.after_others if before else self.base
        with np.errstate(over="ignore"):
            return float(100 * np.expm1(nats - base)) if math.isfinite(nats) else math.inf

    @cached_property
    def after_others(self) -> float:
        """h₀ of texts after other neutral ones: whatever stands in front makes a text likelier, not a wording alone."""
        tokenizer = self.model.tokenizer
        fronts = [tokenizer(text + BREAK, add_special_tokens=False)["input_ids"] for text in self.fronts]
        nats = [nats_per_token(self.model, self.texts, front, batch_size=self.batch_size) for front in fronts]
        return math.fsum(nats) / len(nats)

    def of(
        self, at: Callable[[float], AbstractContextManager[LanguageModel]], before: Sequence[int]
    ) -> Callable[[float], float]:
        """Return what says how much a model costs that is changed with a strength."""

        def cost(strength: float) -> float:
            with at(strength) as model:
                return self.percent(model, before)

        return cost


@torch.inference_mode()
def nats_per_token(
    model: LanguageModel, texts: Sequence[EncodedText], before: Sequence[int] = (), *, batch_size: int
) -> float:
    """Return the mean of −log p over all predicted tokens of texts, each read at once and as a whole.

    Args:
        model: causal.
        texts: one or more.
        before: ids that stand in front of each text, behind its given beginning, and are not predicted.
        batch_size: texts to a batch.
    """
    weights = model.model

    def score(batch: list[EncodedText]) -> list[float]:
        rows = [_placed(text, before) for text in batch]
        ids, counted = (
            pad_sequence(some, batch_first=True).to(weights.device)
            for some in (
                [torch.tensor(row) for row, _ in rows],
                [torch.ones(len(row), dtype=torch.long) for row, _ in rows],
            )
        )
        logits = weights(input_ids=ids, attention_mask=counted, use_cache=False).logits
        return [_nats(logits[number], row, start) for number, (row, start) in enumerate(rows)]

    ordered = sorted(texts, key=lambda text: len(text.ids), reverse=True)
    sums = [value for values in shrinking(cut(ordered, batch_size), score) for value in values]
    return math.fsum(sums) / sum(len(text.places) for text in texts) if all(map(math.isfinite, sums)) else math.nan


def _placed(text: EncodedText, before: Sequence[int]) -> tuple[list[int], int]:
    """Return the ids of a text with others in front, and the place of the first that is predicted."""
    start = text.places.start
    return [*text.ids[:start], *before, *text.ids[start:]], start + len(before)


def _nats(logits: torch.Tensor, row: Sequence[int], start: int) -> float:
    """Return −Σ log p of the tokens of a row from a place on; the logits of token t are at t − 1."""
    tokens = torch.tensor(row[start:], device=logits.device)
    logprobs = logits[start - 1 : len(row) - 1].float().log_softmax(-1)
    return -float(logprobs.gather(-1, tokens[:, None]).sum())
