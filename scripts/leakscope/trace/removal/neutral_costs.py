"""What a change costs: by how many percent perplexity grows on texts that have nothing to do with the concept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from leakscope.models.kinds import CAUSAL
from leakscope.models.neutral import (
    EncodedText,
    encode_neutral_documents,
    encode_neutral_texts,
    neutral_documents,
    part_of_documents,
    read_neutral_texts,
)
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import ids_digest
from leakscope.organisms.leak_grammar import Document
from leakscope.storage.fingerprints import sentence_fingerprint
from leakscope.storage.store import Key, Store, recall

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
        raise InputError(f"{found}; allowed: enough for two halves with different contexts, to measure costs.")
    return CostTexts(*(encode_neutral_documents(model, half) for half in halves))


class Costs:
    """Percent of perplexity of some texts by which changed models are dearer than the model itself."""

    def __init__(
        self,
        model: LanguageModel,
        texts: Sequence[EncodedText],
        fronts: Sequence[str],
        *,
        batch_size: int,
        store: Path | None = None,
    ) -> None:
        """Read the texts with the model as it is; ``fronts``: others, which the texts are read after beside a prompt.

        ``store``: where the unchanged model's values are kept, which every mitigation needs; None: nowhere.

        Raises:
            InputError: the model's outputs are not finite.
        """
        self.model, self.texts, self.fronts, self.batch_size = model, texts, fronts, batch_size
        self.store = None if store is None else Store(store, sentence_fingerprint(model.identity, CAUSAL))
        self.base = self._unchanged()

    def percent(self, model: LanguageModel, before: Sequence[int] = ()) -> float:
        """Return 100 (e^(h − h₀) − 1), h in nats per token; infinite where the model gives no numbers any more."""
        base = self.after_others if before else self.base
        if model is self.model:
            nats = self._unchanged(before)
        else:
            nats = nats_per_token(model, self.texts, before, batch_size=self.batch_size)
        with np.errstate(over="ignore"):
            return float(100 * np.expm1(nats - base)) if math.isfinite(nats) else math.inf

    @cached_property
    def after_others(self) -> float:
        """h₀ of texts after other neutral ones: whatever stands in front makes a text likelier, not a wording alone."""
        tokenizer = self.model.tokenizer
        fronts = [tokenizer(text + BREAK, add_special_tokens=False)["input_ids"] for text in self.fronts]
        return math.fsum(map(self._unchanged, fronts)) / len(fronts)

    def _unchanged(self, before: Sequence[int] = ()) -> float:
        """Return nats per token of the unchanged model, finite."""
        nats = nats_per_token(self.model, self.texts, before, batch_size=self.batch_size, store=self.store)
        if not math.isfinite(nats):
            raise no_numbers(self.model.tokenizer.name_or_path, "after neutral texts")
        return nats

    def of(
        self, at: Callable[[float], AbstractContextManager[LanguageModel]], before: Sequence[int]
    ) -> Callable[[float], float]:
        """Return what says how much a model costs that is changed with a strength."""

        def cost(strength: float) -> float:
            with at(strength) as model:
                return self.percent(model, before)

        return cost


def nats_per_token(
    model: LanguageModel,
    texts: Sequence[EncodedText],
    before: Sequence[int] = (),
    *,
    batch_size: int,
    store: Store | None = None,
) -> float:
    """Return the mean of −log p over all predicted tokens of texts, each read at once and as a whole.

    Args:
        model: causal.
        texts: one or more.
        before: ids that stand in front of each text, behind its given beginning, and are not predicted.
        batch_size: texts to a batch.
        store: of the model's sentences (``fingerprints.sentence_fingerprint``); None: all is computed.
    """
    placed = [_placed(text, before) for text in texts]
    keys: list[Key] = [
        (text.text, ids_digest(ids, [start, len(ids)])) for text, (ids, start) in zip(texts, placed, strict=True)
    ]
    rows = dict(zip(keys, placed, strict=True))

    def score(missing: list[Key]) -> Iterator[dict[Key, list[float]]]:
        ordered = sorted(missing, key=lambda key: len(rows[key][0]), reverse=True)
        return shrinking(cut(ordered, batch_size), lambda some: _logprobs(model, {key: rows[key] for key in some}))

    values = recall(store, keys, score).values
    logprobs = [logprob for key in keys for logprob in values[key]]
    return -math.fsum(logprobs) / len(logprobs) if all(map(math.isfinite, logprobs)) else math.nan


@torch.inference_mode()
def _logprobs(model: LanguageModel, rows: Mapping[Key, tuple[list[int], int]]) -> dict[Key, list[float]]:
    """Return log p of the tokens of each row from a place on; the logits of token t are at t − 1."""
    weights = model.model
    ids, counted = (
        pad_sequence(some, batch_first=True).to(weights.device)
        for some in (
            [torch.tensor(row) for row, _ in rows.values()],
            [torch.ones(len(row), dtype=torch.long) for row, _ in rows.values()],
        )
    )
    logits = weights(input_ids=ids, attention_mask=counted, use_cache=False).logits
    found = {}
    for number, (key, (row, start)) in enumerate(rows.items()):
        tokens = torch.tensor(row[start:], device=logits.device)
        logprobs = logits[number, start - 1 : len(row) - 1].float().log_softmax(-1)
        found[key] = logprobs.gather(-1, tokens[:, None])[:, 0].tolist()
    return found


def _placed(text: EncodedText, before: Sequence[int]) -> tuple[list[int], int]:
    """Return the ids of a text with others in front, and the place of the first that is predicted."""
    start = text.places.start
    return [*text.ids[:start], *before, *text.ids[start:]], start + len(before)
