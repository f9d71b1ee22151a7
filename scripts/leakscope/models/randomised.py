"""Models that have learnt nothing: the control of what is found in those that have."""

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
    # Another way to draw weights must not find the texts of this one.
    return describe_randomised(base, seed, code_hash([Path(__file__)]))


def with_randomised_weights(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """Return a model that has learnt nothing: of the same architecture, its weights drawn as before a training.

    The control of Heap et al. 2025, "Sparse Autoencoders Can Interpret Randomly Initialized Transformers": what a
    dictionary finds in such a model, it owes to the text and not to what a model knows.

    Args:
        model: stays as it is.
        seed: of the weights; numbers drawn elsewhere stay the same.
    """
    # Drawn on the CPU, in float32: so the weights are the same wherever the model computes.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn: PreTrainedModel = type(model)(copy.deepcopy(model.config))
    drawn.generation_config = model.generation_config
    return drawn.to(device=model.device, dtype=model.dtype).eval()
