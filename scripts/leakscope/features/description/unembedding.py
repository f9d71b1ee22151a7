"""Effect of a direction of the residual stream on the logits: the unembedding with the final norm's gain folded in.

At the end of a model, logits = cap(scale · (norm(x) · gain + shift) W_Uᵀ + bias). The norm divides by a number for each
token and (LayerNorm) takes the mean over d off. All else is linear in the residual x, so that for a given divisor

    logits = cap(x W_eff / divisor + scale · (shift W_Uᵀ + bias)),   W_eff = scale · (centred) gain · W_Uᵀ

W_eff is never stored: it is as large as the unembedding, and is made for as many tokens as are asked for.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import torch

from leakscope.errors import InputError
from leakscope.models.editing.residuals import decoder_blocks, name_of
from leakscope.models.finite import are_distributions, no_numbers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

# Names of the epsilon of a norm; modules without one have torch's default.
EPSILONS = ("eps", "variance_epsilon", "epsilon", "norm_eps")
EPSILON = 1e-5
# Made-up prompts, as multiples of some step through the vocabulary.
_TRIAL = [[3, 1, 4, 1, 5, 9, 2], [6, 5, 3, 5, 8, 9, 7]]


@dataclass(frozen=True)
class EffectiveUnembedding:
    """The end of a model, as one linear map and a divisor; d is the hidden size, V the vocabulary.

    Args:
        weight: [V, d], the model's own.
        gain: [d], float32, of the final norm.
        shift: [d], float32, of the final norm.
        bias: [V], float32, of the unembedding.
        centred: the norm takes the mean over d off (LayerNorm), or does not (RMSNorm).
        epsilon: of the norm.
        scale: of the logits.
        cap: logits are soft-capped to ± this; None: they are not.
    """

    weight: torch.Tensor
    gain: torch.Tensor
    shift: torch.Tensor
    bias: torch.Tensor
    centred: bool
    epsilon: float
    scale: float = 1.0
    cap: float | None = None

    @property
    def n_tokens(self) -> int:
        """V."""
        return self.weight.shape[0]

    def columns(self, tokens: slice | Sequence[int]) -> torch.Tensor:
        """Return W_eff of some tokens, [d, tokens], float32: of one column, what its token's logit gains along d."""
        rows = self.weight[tokens if isinstance(tokens, slice) else list(tokens)].float() * self.gain * self.scale
        return (rows - rows.mean(-1, keepdim=True) if self.centred else rows).T

    def norm_scale(self, residual: torch.Tensor) -> torch.Tensor:
        """Return the divisor of the final norm for residuals [..., d]: [..., 1], float32."""
        return (self._centred(residual).square().mean(-1, keepdim=True) + self.epsilon).sqrt()

    def logits(self, residual: torch.Tensor, norm_scale: torch.Tensor) -> torch.Tensor:
        """Return the logits [..., V], float32, of residuals [..., d] after the last block.

        Args:
            residual: after the last block.
            norm_scale: [..., 1], divisor of the norm; the same residuals' divisor gives the model's own logits, any
                other holds the norm fixed.
        """
        # Not by columns: a copy of the whole unembedding.
        normed = self._centred(residual) / norm_scale * self.gain + self.shift
        logits = self.scale * (normed @ self.weight.float().T + self.bias)
        return logits if self.cap is None else self.cap * (logits / self.cap).tanh()

    def _centred(self, residual: torch.Tensor) -> torch.Tensor:
        values = residual.float()
        return values - values.mean(-1, keepdim=True) if self.centred else values


@torch.inference_mode()
def effective_unembedding(model: PreTrainedModel) -> EffectiveUnembedding:
    """Return the end of a model, found by tracing a forward pass and verified against the model's own logits.

    Args:
        model: causal.

    Raises:
        InputError: it does not end in a norm and an unembedding, whatever is taken for them, or gives no numbers.
    """
    # Imported here: the models' code costs seconds, and many a job only reads what was recorded.
    from leakscope.models.decoding import TOLERANCE, TOLERANCE_OF_HALF

    step = max(1, model.config.get_text_config().vocab_size // 16)
    ids = torch.tensor([[number * step for number in row] for row in _TRIAL], device=model.device)
    final, norms, own = _watch(model, ids)
    if not are_distributions(own).all():
        raise no_numbers(name_of(model), "after a made-up text")
    head = model.get_output_embeddings()
    differences = {}
    for norm in norms if isinstance(getattr(head, "weight", None), torch.Tensor) else []:
        for candidate in _candidates(model, norm, head):
            if candidate.gain.shape != final.shape[-1:] or candidate.weight.shape[-1:] != final.shape[-1:]:
                continue
            moved = final.to(candidate.weight.device)
            logits = candidate.logits(moved, candidate.norm_scale(moved))
            difference = float((logits.to(own.device) - own).abs().max() / own.std())
            if math.isfinite(difference):
                differences[difference] = candidate
    best = min(differences, default=math.inf)
    logger.info("%s: the effective unembedding is off by %.1e deviations", type(model).__name__, best)
    if best > TOLERANCE.get(model.dtype, TOLERANCE_OF_HALF):
        raise InputError(
            f"model {name_of(model)}: got logits that its final norm and unembedding do not "
            "reproduce; allowed: models that end in a LayerNorm or RMSNorm, an unembedding and a scaling of logits."
        )
    return differences[best]


def _watch(model: PreTrainedModel, ids: torch.Tensor) -> tuple[torch.Tensor, list[torch.nn.Module], torch.Tensor]:
    """Return the output of the last block, the modules that read it next, and the logits; float32."""
    final: list[torch.Tensor] = []
    given_to: list[torch.nn.Module] = []

    def keep(_: torch.nn.Module, given: Any, output: Any) -> None:
        final[:] = [output[0] if isinstance(output, tuple) else output]

    def compare(module: torch.nn.Module, given: tuple[Any, ...]) -> None:
        if final and given and isinstance(given[0], torch.Tensor) and given[0].shape == final[0].shape:
            same = torch.equal(given[0].to(final[0].device), final[0])
            given_to.extend([module] if same else [])

    with ExitStack() as stack:
        stack.enter_context(decoder_blocks(model)[-1].register_forward_hook(keep))
        for module in model.modules():
            if not any(module.children()):
                stack.enter_context(module.register_forward_pre_hook(compare))
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return final[0].float(), given_to, logits.float()


def _candidates(model: PreTrainedModel, norm: torch.nn.Module, head: Any) -> Iterator[EffectiveUnembedding]:
    """Yield the possible kinds of norm: LayerNorm or RMSNorm, with a gain or (Gemma) with the gain minus 1."""
    weight: torch.Tensor = head.weight.detach()
    device, config = weight.device, model.config.get_text_config()
    n_tokens, width = weight.shape
    gain = _vector(norm, "weight", torch.ones(width), device)
    unembedding = EffectiveUnembedding(
        weight,
        gain,
        shift=_vector(norm, "bias", torch.zeros(width), device),
        bias=_vector(head, "bias", torch.zeros(n_tokens), device),
        centred=True,
        epsilon=next((float(getattr(norm, name)) for name in EPSILONS if hasattr(norm, name)), EPSILON),
        scale=_scale(config),
        cap=getattr(config, "final_logit_softcapping", None),
    )
    for centred, added in product((True, False), (0.0, 1.0)):
        yield replace(unembedding, centred=centred, gain=gain + added)


def _scale(config: Any) -> float:
    """Return the factor by which an architecture multiplies its logits."""
    times = getattr(config, "logit_scale", None) or 1.0  # Cohere
    times *= getattr(config, "lm_head_multiplier", None) or 1.0  # Falcon-H1
    return float(times / (getattr(config, "logits_scaling", None) or 1.0))  # Granite


def _vector(module: torch.nn.Module, name: str, default: torch.Tensor, device: torch.device) -> torch.Tensor:
    value = getattr(module, name, None)
    return (value.detach() if isinstance(value, torch.Tensor) else default).float().to(device)
