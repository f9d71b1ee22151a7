"""May a dictionary be interpreted? Its loss on residuals, and the model's loss with reconstructed residuals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from leakscope.features.dictionaries.reconstruction import measure_moments, measure_reconstruction
from leakscope.features.dictionaries.texts import Window
from leakscope.jobs.batching import cut, shrinking
from leakscope.jobs.progress import progress
from leakscope.models.editing.dictionary import Dictionary
from leakscope.models.editing.residuals import PADDING, name_of, on_residual
from leakscope.models.finite import no_numbers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOGITS_AT_ONCE = 2**27
# What the residual must tell at least, in nats a token, for a share of it to mean something.
TELLS = 0.01
VARIANCE, DEAD, RECOVERED = "variance_unexplained", "dead_share", "cross_entropy_recovered"

Replace = Callable[[Tensor], Tensor]


class CrossEntropy(NamedTuple):
    """−log p in nats a token: of the model, with residuals rebuilt by the dictionary, and with their mean instead."""

    model: float
    reconstructed: float
    mean: float

    @property
    def recovered(self) -> float | None:
        """Recovered share of the information in residuals; None if residuals carry too little."""
        told = self.mean - self.model
        return (self.mean - self.reconstructed) / told if told > TELLS else None


def measure_quality(
    dictionary: Dictionary,
    paths: Sequence[Path],
    model: PreTrainedModel,
    windows: Sequence[Window],
    bar: Mapping[str, float],
    *,
    batch_size: int,
    name: str,
) -> dict[str, Any]:
    """Return the quality of a dictionary on held-out text, and whether it reaches the bar.

    Args:
        dictionary: of a residual stream of ``model``.
        paths: of shards of held-out activations.
        model: causal.
        windows: of held-out texts.
        bar: see ``missed_bars``.
        batch_size: windows, and tokens, to a batch.
        name: of the line of progress.

    Raises:
        InputError: as ``measure_reconstruction``, or the model has no such layer.
    """
    reconstruction = measure_reconstruction(dictionary, paths, batch_size)
    mean = measure_moments(paths, batch_size).mean.float()
    losses = measure_cross_entropy(dictionary, mean, model, windows, batch_size=batch_size, name=name)
    measured = {
        "n_tokens": reconstruction.n_tokens,
        VARIANCE: reconstruction.variance_unexplained,
        "l0": reconstruction.l0,
        DEAD: reconstruction.dead_share,
        "cross_entropy": losses._asdict(),
        RECOVERED: losses.recovered,
    }
    missed = missed_bars(measured, bar)
    return {**measured, "bar": dict(bar), "missed": missed, "passes": not missed}


def missed_bars(measured: Mapping[str, Any], bar: Mapping[str, float]) -> list[str]:
    """Return the bars that a dictionary misses; a ``cross_entropy_recovered`` of None misses none.

    Args:
        measured: see ``measure_quality``.
        bar: the largest ``variance_unexplained`` and ``dead_share`` and the smallest ``cross_entropy_recovered``.
    """
    missed = [name for name in (VARIANCE, DEAD) if not measured[name] <= bar[name]]
    recovered = measured[RECOVERED]
    return missed if recovered is None or recovered >= bar[RECOVERED] else [*missed, RECOVERED]


def measure_cross_entropy(
    dictionary: Dictionary,
    mean: Tensor,
    model: PreTrainedModel,
    windows: Sequence[Window],
    *,
    batch_size: int,
    name: str,
) -> CrossEntropy:
    """Return a model's cross-entropy on texts, as it is and with replaced residuals of a layer.

    Residuals of the beginning are kept: no dictionary is trained on them.

    Args:
        dictionary: says the layer.
        mean: [d], of residuals.
        model: causal.
        windows: of texts.
        batch_size: windows to a batch; fewer where the vocabulary is large.
        name: of the line of progress.

    Raises:
        InputError: the model gives no numbers.
    """
    # Of a model on several devices, the layer's residuals may be on another one than its first weights.
    placed = cache(dictionary.to)
    ways: list[Replace] = [
        lambda hidden: hidden,
        lambda hidden: placed(hidden.device).reconstruct(hidden),
        lambda hidden: mean.to(hidden.device).expand_as(hidden),
    ]
    longest = max(len(window.ids) for window in windows)
    vocabulary = model.config.get_text_config().vocab_size
    at_once = max(1, min(batch_size, LOGITS_AT_ONCE // (longest * vocabulary)))
    batches = cut(sorted(windows, key=lambda window: -len(window.ids)), at_once)

    def score(batch: list[Window]) -> tuple[int, list[float]]:
        return len(batch), [_nats(model, batch, dictionary.layer, way) for way in ways]

    told = progress(shrinking(batches, score), total=len(windows), name=name, unit="text", size=lambda some: some[0])
    nats = [of_text for _, of_text in told]
    n_predicted = sum(len(window.kept) for window in windows)
    losses = CrossEntropy(*(math.fsum(of_way) / n_predicted for of_way in zip(*nats, strict=True)))
    if not math.isfinite(losses.model):
        raise no_numbers(name_of(model), "in the held-out texts")
    return losses


@torch.inference_mode()
def _nats(model: PreTrainedModel, windows: Sequence[Window], layer: int, replace: Replace) -> float:
    """Return −log p of all kept tokens, summed, with the residuals at their places replaced."""
    places = torch.arange(max(len(window.ids) for window in windows))
    starts = torch.tensor([[window.kept.start] for window in windows])
    ends = torch.tensor([[window.kept.stop] for window in windows])
    ids = torch.tensor([[*window.ids, *[PADDING] * (len(places) - len(window.ids))] for window in windows])
    kept = (places >= starts) & (places < ends)

    def put(hidden: Tensor) -> Tensor:
        return torch.where(kept.to(hidden.device)[..., None], replace(hidden).to(hidden.dtype), hidden)

    with on_residual(model, layer, put):
        counted = (places < ends).long().to(model.device)
        logits = model(input_ids=ids.to(model.device), attention_mask=counted, use_cache=False).logits
    predicted = kept[:, 1:].to(logits.device)
    wanted = ids.to(logits.device)[:, 1:][predicted]
    return float(torch.nn.functional.cross_entropy(logits[:, :-1][predicted].float(), wanted, reduction="sum"))
