"""Label probabilities of a sequence classifier for each text, on the CPU in float32.

Texts with the same number of tokens are batched, so nothing is padded. The fingerprint of stored probabilities includes
this module's code (see ``fingerprints``), so code that only looks them up or compares them is in other modules.
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
    """Yield text → its label probabilities, (labels,), float32, one batch at a time.

    A softmax over the labels; the logistic function of each for a multi-label model or a single label.

    Args:
        model: a sequence classifier.
        tokenizer: of the model; truncates texts at its ``model_max_length``.
        texts: classified independently.
        batch_size: largest number of texts in a batch.
    """
    import torch

    one_of_them = model.config.num_labels > 1 and model.config.problem_type != SEVERAL_AT_ONCE
    # Without a padding token, decoders can locate the last token only in batches of one text.
    size = batch_size if model.config.pad_token_id is not None else 1
    for batch, ids in _batches(texts, tokenizer(list(texts), truncation=True)["input_ids"], size):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor(ids), attention_mask=torch.ones(len(ids), len(ids[0]))).logits.float()
            probabilities = logits.softmax(-1) if one_of_them else logits.sigmoid()
        yield dict(zip(batch, probabilities.numpy(), strict=True))


def _batches(texts: Sequence[str], ids: Sequence[list[int]], size: int) -> Iterator[tuple[list[str], list[list[int]]]]:
    """Yield batches of at most ``size`` texts with the same number of tokens, and their token ids."""
    order = sorted(range(len(texts)), key=lambda place: (len(ids[place]), texts[place]))
    start = 0
    while start < len(order):
        length = len(ids[order[start]])
        same = [place for place in order[start : start + size] if len(ids[place]) == length]
        yield [texts[place] for place in same], [ids[place] for place in same]
        start += len(same)
