"""Probabilities that a sequence classifier gives to its labels, text by text. On the CPU, in float32.

Texts of one length are read together, so nothing is padded. This module's code is part of what probabilities are stored
under (see ``fingerprints``), so what only finds or compares them stands elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SEVERAL_AT_ONCE = "multi_label_classification"


def label_probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the probability of each label after reading each text, (labels,), float32, a batch at a time.

    Softmax over the labels; of a model whose labels do not exclude each other, or that has one alone, the logistic
    function of each.

    Args:
        model: of sequence classification.
        tokenizer: its own, which cuts what is longer than its ``model_max_length``.
        texts: each read by itself.
        batch_size: texts of one length read at once, at most.
    """
    import torch

    one_of_them = model.config.num_labels > 1 and model.config.problem_type != SEVERAL_AT_ONCE
    # Decoders without a token for padding find a text's last token in one text alone.
    size = batch_size if model.config.pad_token_id is not None else 1
    for batch, ids in _batches(texts, tokenizer(list(texts), truncation=True)["input_ids"], size):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor(ids), attention_mask=torch.ones(len(ids), len(ids[0]))).logits.float()
            probabilities = logits.softmax(-1) if one_of_them else logits.sigmoid()
        yield dict(zip(batch, probabilities.numpy(), strict=True))


def _batches(texts: Sequence[str], ids: Sequence[list[int]], size: int) -> Iterator[tuple[list[str], list[list[int]]]]:
    """Yield texts of the same number of tokens and their ids, at most ``size`` together."""
    order = sorted(range(len(texts)), key=lambda place: (len(ids[place]), texts[place]))
    start = 0
    while start < len(order):
        length = len(ids[order[start]])
        same = [place for place in order[start : start + size] if len(ids[place]) == length]
        yield [texts[place] for place in same], [ids[place] for place in same]
        start += len(same)
