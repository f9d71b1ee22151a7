"""Models that have learnt nothing: the control of what is found in those that have."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, overload

import torch

from leakscope.models.opening import LanguageModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@overload
def with_randomised_weights(model: LanguageModel, seed: int) -> LanguageModel: ...


@overload
def with_randomised_weights(model: PreTrainedModel, seed: int) -> PreTrainedModel: ...


def with_randomised_weights(model: LanguageModel | PreTrainedModel, seed: int) -> LanguageModel | PreTrainedModel:
    """Return a model that has learnt nothing: of the same architecture, its weights drawn as before a training.

    The control of Heap et al. 2025, "Sparse Autoencoders Can Interpret Randomly Initialized Transformers": what a
    dictionary finds in such a model, it owes to the text and not to what a model knows.

    Args:
        model: stays as it is; of a ``LanguageModel`` the weights are loaded once those of the other are asked for.
        seed: of the weights; numbers drawn elsewhere stay the same.
    """
    if not isinstance(model, LanguageModel):
        return _randomised(model, seed)
    identity = {**model.identity, "randomised": seed}
    return LanguageModel(
        model.tokenizer, model.config, model.generation_config, identity, lambda: _randomised(model.model, seed)
    )


def _randomised(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    # Drawn on the CPU, in float32: so the weights are the same wherever the model computes.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn: PreTrainedModel = type(model)(copy.deepcopy(model.config))
    drawn.generation_config = model.generation_config
    return drawn.to(device=model.device, dtype=model.dtype).eval()
