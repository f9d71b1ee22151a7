"""Reconstruction of cached residuals by a dictionary: unexplained variance, and the number of active features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from leakscope.errors import InputError
from leakscope.features.dictionaries.activations import activation_batches
from leakscope.models.editing.dictionary import Dictionary


class Moments(NamedTuple):
    """Mean [d] of residuals, the sum over d of their variances, and how many they are; float64."""

    mean: Tensor
    variance: float
    n_tokens: int


class Reconstruction(NamedTuple):
    """Reconstruction of residuals by a dictionary.

    Args:
        variance_unexplained: squared error over the squared distance from the mean, of all tokens together.
        l0: features that fire at a token, on average.
        firing_rates: [F], share of tokens at which a feature fires.
        n_tokens: that were read.
    """

    variance_unexplained: float
    l0: float
    firing_rates: Tensor
    n_tokens: int

    @property
    def dead_share(self) -> float:
        """The share of features that fire at none of these tokens."""
        return float((self.firing_rates == 0).double().mean())


def measure_moments(paths: Sequence[Path], batch_size: int, *, centre: bool = False) -> Moments:
    """Return the moments of the residuals of shards.

    Args:
        paths: of the shards.
        batch_size: tokens.
        centre: take off each residual its mean over d first.

    Raises:
        InputError: there is no residual, or one is not finite.
    """
    n_tokens, total, squares = 0, torch.zeros(()).double(), 0.0
    for batch in activation_batches(paths, batch_size):
        rows = batch.residuals.double()
        rows = rows - rows.mean(dim=-1, keepdim=True) if centre else rows
        n_tokens, total, squares = n_tokens + len(rows), total + rows.sum(0), squares + float(rows.square().sum())
    if not n_tokens:
        raise InputError(f"activations {paths[0]}: got no token; allowed: a corpus with texts of two tokens or more.")
    if not math.isfinite(squares):
        raise InputError(f"activations {paths[0]}: got values that are not finite; read the model in float32.")
    mean = total / n_tokens
    return Moments(mean, squares / n_tokens - float(mean.square().sum()), n_tokens)


@torch.inference_mode()
def measure_reconstruction(dictionary: Dictionary, paths: Sequence[Path], batch_size: int) -> Reconstruction:
    """Return how well a dictionary reconstructs the residuals of shards.

    The mean removed by centring counts neither as error nor as variance, because no feature reconstructs it.

    Args:
        dictionary: of the site that the shards were read at.
        paths: of the shards.
        batch_size: tokens at once.

    Raises:
        InputError: the residuals have another width; or as ``measure_moments``.
    """
    moments = measure_moments(paths, batch_size, centre=dictionary.centre)
    if moments.mean.shape != (dictionary.width,):
        raise InputError(
            f"activations {paths[0]}: got residuals of width {moments.mean.numel()}; allowed: {dictionary.width}, the "
            "dictionary's width."
        )
    error, fired = 0.0, torch.zeros(dictionary.n_features, dtype=torch.long)
    for batch in activation_batches(paths, batch_size):
        activations = dictionary.encode(batch.residuals)
        error += float((dictionary.reconstruct(batch.residuals, activations) - batch.residuals).double().square().sum())
        fired += (activations > 0).sum(0)
    total = moments.variance * moments.n_tokens
    rates = fired.double() / moments.n_tokens
    return Reconstruction(error / total if total > 0 else math.inf, float(rates.sum()), rates, moments.n_tokens)
