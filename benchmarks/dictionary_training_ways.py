"""Workers of ``dictionary_training.py``: made-up activations, and two ways to train a dictionary on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leakscope.features.dictionaries.activations import Activations, read_activations, write_activations
from leakscope.features.dictionaries.training import (
    AUXILIARY,
    DEAD_AFTER,
    EPSILON,
    LARGEST_GRADIENT,
    Settings,
    _rate,
    train_dictionary,
)
from leakscope.jobs.memory import keep_freed_memory
from measuring import peak_mb, timed

WIDTH, N_DIRECTIONS, N_TOKENS, N_SHARDS = 64, 256, 50_000, 2
K, BATCH_SIZE, LEARNING_RATE = 16, 1024, 1e-3
AT_THE_END = 50  # steps whose losses are compared


def write(folder: str, threads: int) -> dict[str, Any]:
    """Write shards of activations: sums of few directions each, and a mean."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(N_DIRECTIONS, WIDTH, generator=generator), dim=-1)
    for path in _paths(folder):
        present = torch.rand(N_TOKENS, N_DIRECTIONS, generator=generator) < 8 / N_DIRECTIONS
        strength = present * (1 + torch.rand(N_TOKENS, N_DIRECTIONS, generator=generator))
        integers = [torch.full((N_TOKENS,), value, dtype=torch.int32) for value in (5, 0, 1)]
        write_activations(Activations(strength @ directions + 2, *integers), path)
    return {}


def measure(folder: str, threads: int, way: str, steps: int, features: int) -> dict[str, Any]:
    """Train a dictionary in one of the two ways."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    settings = Settings(features, K, steps, BATCH_SIZE, LEARNING_RATE)
    loaded = peak_mb()
    train = by_autograd if way == "autograd" else by_ours
    done = timed(lambda: train(_paths(folder), settings))
    at_the_end = done.result[-AT_THE_END:]
    return {
        "seconds": done.seconds,
        "others": done.others,
        "loss": sum(at_the_end) / len(at_the_end),
        "loaded_mb": loaded,
        "peak_mb": peak_mb(),
    }


def by_ours(paths: Sequence[Path], settings: Settings) -> list[float]:
    """Return the losses at the end, a mean of several steps each."""
    record = train_dictionary(paths, settings, 0, layer=0, metadata={}, name="dictionary").record
    n_steps = max(1, settings.steps // len(record["losses"]))
    return [loss for _, loss in record["losses"][-max(1, AT_THE_END // n_steps) :]]


def by_autograd(paths: Sequence[Path], settings: Settings) -> list[float]:
    """Return the losses of all steps."""
    data = torch.cat([read_activations(path).residuals for path in paths])
    mean = data.mean(0)
    scale = float((data - mean).square().mean().sqrt())
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(settings.features, WIDTH, generator=generator), dim=-1)
    parameters = [decoder.T.clone().contiguous(), torch.zeros(settings.features), decoder, mean / scale]
    for parameter in parameters:
        parameter.requires_grad_()
    encoder, encoder_bias, decoder, decoder_bias = parameters
    adam = torch.optim.Adam(parameters, lr=settings.learning_rate, eps=EPSILON)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: _rate(step, settings.steps))
    silent = torch.zeros(settings.features, dtype=torch.long)
    losses = []
    for _ in range(settings.steps):
        inputs = data[torch.randint(len(data), (settings.batch_size,), generator=generator)] / scale
        before = (inputs - decoder_bias) @ encoder + encoder_bias
        activations = _largest(before, settings.k)
        error = activations @ decoder + decoder_bias - inputs
        loss = error.square().mean()
        losses.append(loss.item())
        dead = silent > DEAD_AFTER * settings.steps
        if dead.any():
            left = -error.detach()
            revived = _largest(before[:, dead], min(WIDTH // 2, int(dead.sum()))) @ decoder[dead]
            loss = loss + AUXILIARY * (revived - left).square().mean() / left.square().mean()
        adam.zero_grad()
        loss.backward()
        with torch.no_grad():
            decoder.grad -= (decoder.grad * decoder).sum(-1, keepdim=True) * decoder
            torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
            adam.step()
            schedule.step()
            decoder /= decoder.norm(dim=-1, keepdim=True)
        silent = torch.where((activations > 0).any(0), 0, silent + 1)
    return losses


def _largest(before: Tensor, k: int) -> Tensor:
    values, places = before.topk(k, dim=-1)
    return torch.zeros_like(before).scatter(-1, places, values.relu())


def _paths(folder: str) -> list[Path]:
    return [Path(folder) / f"{number}-of-{N_SHARDS}.safetensors" for number in range(1, N_SHARDS + 1)]
