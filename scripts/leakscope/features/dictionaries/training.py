"""Training a dictionary on cached residuals: a TopK autoencoder, whose dead features are revived by an auxiliary loss.

After Gao et al. 2024, "Scaling and evaluating sparse autoencoders" (arXiv:2406.04093). Gradients are written out: of
[tokens, F] nothing is kept but the pre-activations, the activations and their gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from leakscope.errors import InputError
from leakscope.features.dictionaries.activations import activation_batches
from leakscope.features.dictionaries.reconstruction import (
    Moments,
    Reconstruction,
    measure_moments,
    measure_reconstruction,
)
from leakscope.jobs.progress import progress
from leakscope.models.editing.dictionary import TOPK, Dictionary

AUXILIARY = 1 / 32  # weight of the auxiliary loss
DEAD_AFTER = 0.05  # share of the steps that a feature was silent for
WARM_UP, DECAY = 0.05, 0.2  # shares of the steps
LARGEST_GRADIENT = 1.0
EPSILON = 6.25e-10  # of Adam
N_LOSSES = 100  # kept in the record


class TrainingSettings(NamedTuple):
    """Settings of the training: F ``features``, ``k`` active features per token, ``batch_size`` in tokens."""

    features: int
    k: int
    steps: int
    batch_size: int
    learning_rate: float


class Parameters(NamedTuple):
    """Parameters: ``encoder`` [d, F], ``encoder_bias`` [F], ``decoder`` [F, d], ``decoder_bias`` [d]."""

    encoder: Tensor
    encoder_bias: Tensor
    decoder: Tensor
    decoder_bias: Tensor


class TrainingStep(NamedTuple):
    """One step: its ``loss`` is the mean squared error of an entry; ``fired`` [F], whether a feature did."""

    loss: float
    gradients: Parameters
    fired: Tensor


class TrainedDictionary(NamedTuple):
    """A dictionary, its reconstruction of the training residuals, and the record of its training."""

    dictionary: Dictionary
    reconstruction: Reconstruction
    record: dict[str, Any]


def train_dictionary(
    paths: Sequence[Path], settings: TrainingSettings, seed: int, *, layer: int, metadata: Mapping[str, Any], name: str
) -> TrainedDictionary:
    """Train a dictionary; the same shards, settings, seed and number of threads give the same one.

    Residuals are divided by one number, so that the mean variance of their entries is 1 and training does not depend on
    the scale of a model's residuals, up to rounding. The weights undo the division.

    Args:
        paths: of shards of activations; two of them are in memory at most.
        settings: of the training.
        seed: of the first decoder and of the order of tokens.
        layer: of the residuals.
        metadata: kept with the dictionary.
        name: of the line of progress.

    Raises:
        InputError: the residuals do not vary, or ``k`` is greater than the number of features; or as
            ``measure_moments``.
    """
    if settings.k > settings.features:
        raise InputError(f"dictionary {name}: k: got {settings.k}; allowed: 1 to {settings.features}, its features.")
    moments = measure_moments(paths, settings.batch_size)
    d = len(moments.mean)
    scale = (max(moments.variance, 0.0) / d) ** 0.5
    if scale <= 1e-6 * float(moments.mean.square().mean().sqrt()):
        raise InputError(
            f"dictionary {name}: got residuals that are the same at all tokens; allowed: residuals that vary."
        )
    generator = torch.Generator().manual_seed(seed)
    parameters = _first_parameters(moments, scale, settings.features, generator)
    batches = shuffled_batches(paths, settings.batch_size, generator)
    losses = _learn(parameters, (batch / scale for batch in batches), settings, name)
    # Activations are multiplied by the scale, so that rows of the decoder stay of unit length.
    dictionary = Dictionary(
        encoder=parameters.encoder,
        encoder_bias=parameters.encoder_bias * scale,
        decoder=parameters.decoder,
        decoder_bias=parameters.decoder_bias * scale,
        activation=TOPK,
        layer=layer,
        k=settings.k,
        metadata=metadata,
    )
    reconstruction = measure_reconstruction(dictionary, paths, settings.batch_size)
    record = {
        **settings._asdict(),
        "seed": seed,
        "width": d,
        "scale": scale,
        "tokens": moments.n_tokens,
        "passes": settings.steps * settings.batch_size / moments.n_tokens,
        "losses": _sampled(losses),
        "variance_unexplained": reconstruction.variance_unexplained,
        "dead_share": reconstruction.dead_share,
    }
    return TrainedDictionary(dictionary, reconstruction, record)


def shuffled_batches(paths: Sequence[Path], batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of residuals [batch_size, d] without end, every one as often as any other in the long run.

    Shards are taken in random order. Each is mixed with what is left of those before; then all but half as much as it
    brought goes.

    Args:
        paths: of shards with at least one residual altogether; two of them are in memory at most, or a batch.
        batch_size: tokens.
        generator: of the order.
    """
    rest: list[Tensor] = []
    while True:
        for number in torch.randperm(len(paths), generator=generator).tolist():
            fresh = [part.residuals for part in activation_batches([paths[number]], batch_size)]
            if not fresh:
                continue
            buffer = torch.cat([*rest, *fresh])
            order = torch.randperm(len(buffer), generator=generator)
            n_batches = (len(buffer) - sum(map(len, fresh)) // 2) // batch_size
            for start in range(0, n_batches * batch_size, batch_size):
                yield buffer[order[start : start + batch_size]]
            rest = [buffer[order[n_batches * batch_size :]]]


@torch.no_grad()
def take_step(parameters: Parameters, inputs: Tensor, k: int, dead: Tensor) -> TrainingStep:
    """Return the loss of a batch and its gradients, including the auxiliary loss.

    The auxiliary loss is the error of the d/2 dead features with the largest pre-activations in reconstructing the
    residual error of the other features, relative to that error; its gradient does not reach the other features.

    Args:
        parameters: as they are.
        inputs: [tokens, d].
        k: features that fire at a token.
        dead: numbers of the dead features.
    """
    encoder, encoder_bias, decoder, decoder_bias = parameters
    centred = inputs - decoder_bias
    before = centred @ encoder + encoder_bias
    activations = _largest(before, k)
    error = activations @ decoder - centred
    slope = error * (2 / error.numel())
    squared = float(error.square().mean())
    # of the loss with respect to the pre-activations
    upward = _through(slope @ decoder.T, activations)
    of_decoder = activations.T @ slope
    if len(dead):
        revived = _largest(before[:, dead], min(inputs.shape[1] // 2, len(dead)))
        left = revived @ decoder[dead] + error
        pull = left * (2 * AUXILIARY / (error.numel() * max(squared, torch.finfo(torch.float32).tiny)))
        upward[:, dead] += _through(pull @ decoder[dead].T, revived)
        of_decoder[dead] += revived.T @ pull
    of_bias = upward.sum(0)
    gradients = Parameters(centred.T @ upward, of_bias, of_decoder, slope.sum(0) - encoder @ of_bias)
    return TrainingStep(squared, gradients, activations.sum(0) > 0)


def _first_parameters(moments: Moments, scale: float, n_features: int, generator: torch.Generator) -> Parameters:
    """Return a decoder of random directions, an encoder that is its transpose, and the mean as the decoder's bias."""
    decoder = torch.randn(n_features, len(moments.mean), generator=generator)
    decoder = decoder / decoder.norm(dim=-1, keepdim=True)
    mean = (moments.mean / scale).float()
    # Contiguous: the fused optimiser goes through parameter and gradient as they lie in memory.
    return Parameters(decoder.T.contiguous(), torch.zeros(n_features), decoder, mean)


@torch.no_grad()
def _learn(parameters: Parameters, batches: Iterator[Tensor], settings: TrainingSettings, name: str) -> list[float]:
    """Change parameters in place, and return the loss of each step."""
    adam = torch.optim.Adam(parameters, lr=settings.learning_rate, eps=EPSILON, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: _rate(step, settings.steps))
    silent = torch.zeros(settings.features, dtype=torch.long)
    losses = []
    for _ in progress(range(settings.steps), total=settings.steps, name=name, unit="step"):
        dead = (silent > DEAD_AFTER * settings.steps).nonzero().squeeze(-1)
        step = take_step(parameters, next(batches), settings.k, dead)
        along = (step.gradients.decoder * parameters.decoder).sum(-1, keepdim=True)
        step.gradients.decoder.sub_(along * parameters.decoder)
        for parameter, gradient in zip(parameters, step.gradients, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
        adam.step()
        schedule.step()
        parameters.decoder.div_(parameters.decoder.norm(dim=-1, keepdim=True))
        silent = torch.where(step.fired, 0, silent + 1)
        losses.append(step.loss)
    return losses


def _largest(before: Tensor, k: int) -> Tensor:
    """Return each row with only its ``k`` largest entries, none below 0, and 0 elsewhere."""
    values, places = before.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(before).scatter_(-1, places, values.relu_())


def _through(slope: Tensor, activations: Tensor) -> Tensor:
    """Return a slope where an activation is above 0, and 0 elsewhere; without a mask in memory."""
    kept: Tensor = torch.ops.aten.threshold_backward(slope, activations, 0)
    return kept


def _rate(step: int, n_steps: int) -> float:
    """Return the share of the learning rate at a step: it rises first, and falls to 0 at the end."""
    return min(1.0, (step + 1) / max(1.0, WARM_UP * n_steps), (n_steps - step) / max(1.0, DECAY * n_steps))


def _sampled(losses: Sequence[float]) -> list[list[float]]:
    """Return step and loss of at most ``N_LOSSES`` steps: the mean of those since the one before."""
    size = -(-len(losses) // N_LOSSES)
    parts = [losses[start : start + size] for start in range(0, len(losses), size)]
    return [[min((number + 1) * size, len(losses)), sum(part) / len(part)] for number, part in enumerate(parts)]
