"""Ways to sum up logit weights, each measured by itself for ``benchmarks/feature_statistics.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from measuring import peak_mb, timed

# Here, for an entry script in scripts/ has the benchmark's own name.
ONCE, OURS, EXACT = "at once", "ours", "in float64"
PARTS = ("logit_mean", "std", "skewness", "kurtosis")
KEPT = 10

Found = tuple[dict[str, list[float]], list[list[int]]]


def measure(way: str, n_features: int, n_tokens: int, width: int, every: int, threads: int) -> Mapping[str, Any]:
    """Sum up the logit weights of a random dictionary and a random unembedding.

    Args:
        way: ``ONCE``, ``OURS`` or ``EXACT``.
        n_features: of the dictionary.
        n_tokens: of the unembedding.
        width: of both.
        every: what is found of so manyth feature is returned; exactly, only these are computed.
        threads: of the matrix products.

    Returns:
        ``statistics`` (by name) and ``promoted`` (token ids, those of either side) of these features; ``seconds``,
        ``others`` (see ``Timed``), ``before_mb``, what arguments and imports take, and ``peak_mb`` of the process.
    """
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(n_features, width, generator=generator), dim=1)
    # Cubes: far from a normal law, and a vocabulary with a mean, as real ones.
    weight = torch.randn(n_tokens, width, generator=generator).pow_(3).mul_(0.05).add_(0.1)
    gain = 1 + torch.rand(width, generator=generator)
    _at_once(decoder[:8], weight[:32], gain)
    _ours(decoder[:8], weight[:32], gain)
    shown = range(0, n_features, every)
    if way == EXACT:
        decoder, shown = decoder[::every].double(), range(len(shown))
        weight, gain = weight.double(), gain.double()
    before = peak_mb()
    found = timed(lambda: (_at_once if way in (ONCE, EXACT) else _ours)(decoder, weight, gain))
    statistics, promoted = found.result
    return {
        "statistics": {name: [values[number] for number in shown] for name, values in statistics.items()},
        "promoted": [promoted[number] for number in shown],
        "seconds": found.seconds,
        "others": found.others,
        "before_mb": before,
        "peak_mb": peak_mb(),
    }


def _at_once(decoder: Any, weight: Any, gain: Any) -> Found:
    import torch

    effective = weight * gain
    effective = effective - effective.mean(1, keepdim=True)
    logits = decoder @ effective.T
    mean = logits.mean(1)
    logits -= mean[:, None]
    variance = (logits**2).mean(1)
    values = [mean, variance.sqrt(), (logits**3).mean(1) / variance**1.5, (logits**4).mean(1) / variance**2]
    ids = [logits.topk(KEPT, largest=largest).indices for largest in (True, False)]
    return {name: of_all.tolist() for name, of_all in zip(PARTS, values, strict=True)}, torch.cat(ids, 1).tolist()


def _ours(decoder: Any, weight: Any, gain: Any) -> Found:
    import torch

    from leakscope.features.description.logit_weights import logit_weights
    from leakscope.features.description.unembedding import EffectiveUnembedding

    zeros = torch.zeros(weight.shape[1]), torch.zeros(len(weight))
    end = EffectiveUnembedding(weight, gain, *zeros, centred=True, epsilon=1e-5)
    found = logit_weights(decoder, end, len(weight), KEPT)
    ids: Sequence[Any] = found.promoted["token_id"].to_numpy().reshape(len(decoder), 2 * KEPT)
    return {name: found.statistics[name].tolist() for name in PARTS}, [list(map(int, row)) for row in ids]
