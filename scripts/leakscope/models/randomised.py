"""Randomised models: an untrained control with a model's architecture."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from leakscope.storage.fingerprints import code_hash
from leakscope.storage.manifests import describe_randomised

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def describe(base: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the manifest of a model with randomised weights.

    Args:
        base: manifest of the model whose architecture it has.
        seed: of the weights.
    """
    # A changed way to draw weights must not reuse stored texts.
    return describe_randomised(base, seed, code_hash([Path(__file__)]))


def with_randomised_weights(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """Return an untrained model of the same architecture, with freshly initialised weights.

    The control of Heap et al. 2025, "Sparse Autoencoders Can Interpret Randomly Initialized Transformers": features of
    a dictionary in such a model come from the text, not from anything the model learnt.

    Args:
        model: is not changed.
        seed: of the weights; other random numbers are not affected.
    """
    # Drawn on the CPU in float32, so that weights are the same on every device.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn: PreTrainedModel = type(model)(copy.deepcopy(model.config))
    drawn.generation_config = model.generation_config
    return drawn.to(device=model.device, dtype=model.dtype).eval()
