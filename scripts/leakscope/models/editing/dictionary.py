"""A sparse dictionary (sparse autoencoder) of a residual stream: encoding and decoding of residuals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

RELU, TOPK, JUMPRELU = "relu", "topk", "jumprelu"
NONE, LAYER_NORM, CONSTANT_NORM = "none", "layer_norm", "constant_norm_rescale"
# Of SAELens' normalisation; without it the encodings would differ.
LAYER_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Dictionary:
    """A sparse autoencoder as SAELens runs it, in float32: d is the width of the residual stream, F the features.

    activation = act((normalised residual − decoder_bias) · encoder + encoder_bias);
    reconstruction = activation · decoder + decoder_bias, the normalisation undone.

    Args:
        encoder: [d, F].
        encoder_bias: [F].
        decoder: [F, d]; a row is what a feature writes.
        decoder_bias: [d].
        activation: ``relu``; ``topk`` (the ``k`` largest, never below 0); ``jumprelu`` (above ``threshold``, and 0).
        layer: of the residual stream: the input of block ``layer``, counted from 0.
        k: of ``topk``.
        threshold: [F], of ``jumprelu``.
        centre: the dictionary reads residuals whose mean over d was taken off: those of TransformerLens' models with
            centred writing weights.
        subtracts_bias: whether ``decoder_bias`` is taken off the input (SAELens' ``apply_b_dec_to_input``).
        normalisation: ``none``, ``layer_norm`` or ``constant_norm_rescale``: SAELens' ``normalize_activations``.
        metadata: what the files say of where the dictionary came from.
    """

    encoder: Tensor
    encoder_bias: Tensor
    decoder: Tensor
    decoder_bias: Tensor
    activation: str
    layer: int
    k: int | None = None
    threshold: Tensor | None = None
    centre: bool = False
    subtracts_bias: bool = True
    normalisation: str = NONE
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_features(self) -> int:
        """F."""
        return self.decoder.shape[0]

    @property
    def width(self) -> int:
        """The width d of the residual stream."""
        return self.decoder.shape[1]

    def encode(self, residuals: Tensor, features: Sequence[int] | None = None) -> Tensor:
        """Return the activations [..., F] of residuals [..., d], none below 0.

        Args:
            residuals: [..., d].
            features: m of them, [..., m]; the others are computed only where features compete (``topk``). None: all.
        """
        inputs, _, _ = self._read(residuals)
        if features is None:
            return self._encode(inputs)
        chosen = torch.as_tensor(list(features), dtype=torch.long, device=self.decoder.device)
        return self._encode(inputs)[..., chosen] if self.activation == TOPK else self._only(chosen)._encode(inputs)

    def decode(self, activations: Tensor) -> Tensor:
        """Return the reconstruction [..., d] from activations [..., F], still centred and normalised."""
        return activations @ self.decoder + self.decoder_bias

    def reconstruct(self, residuals: Tensor, activations: Tensor | None = None) -> Tensor:
        """Return the dictionary's reconstruction of residuals [..., d].

        Centring and normalisation are undone, so that the result can replace the residual.

        Args:
            residuals: [..., d].
            activations: [..., F], of these residuals; None: computed here.
        """
        inputs, scale, shift = self._read(residuals)
        return self.decode(self._encode(inputs) if activations is None else activations) * scale + shift

    def written(self, residuals: Tensor, features: Sequence[int], change: Tensor) -> Tensor:
        """Return the change of residuals caused by a change of some activations.

        Args:
            residuals: [..., d], before the change: their scale matters if the dictionary normalises.
            features: m of them.
            change: [..., m], of the features' activations.

        Returns:
            [..., d], float32.
        """
        _, scale, _ = self._read(residuals)
        rows = self.decoder[torch.as_tensor(list(features), dtype=torch.long, device=self.decoder.device)]
        return (change.to(rows.dtype) @ rows) * scale

    def to(self, device: torch.device | str) -> Dictionary:
        """Return the dictionary on a device."""
        tensors: dict[str, Any] = {
            spec.name: value.to(device)
            for spec in dataclasses.fields(self)
            if isinstance(value := getattr(self, spec.name), Tensor)
        }
        return dataclasses.replace(self, **tensors)

    def _only(self, chosen: Tensor) -> Dictionary:
        """Return the dictionary restricted to some features."""
        return dataclasses.replace(
            self,
            encoder=self.encoder[:, chosen],
            encoder_bias=self.encoder_bias[chosen],
            decoder=self.decoder[chosen],
            threshold=None if self.threshold is None else self.threshold[chosen],
        )

    def _encode(self, inputs: Tensor) -> Tensor:
        before = (inputs - self.decoder_bias if self.subtracts_bias else inputs) @ self.encoder + self.encoder_bias
        if self.activation == TOPK:
            assert self.k is not None
            values, places = before.topk(self.k, dim=-1, sorted=False)
            return torch.zeros_like(before).scatter_(-1, places, values.relu())
        if self.activation == JUMPRELU:
            assert self.threshold is not None
            return before.relu() * (before > self.threshold)
        return before.relu()

    def _read(self, residuals: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """Return what the encoder sees, and the scale and shift [..., 1] that lead from there back to residuals."""
        inputs, scale, shift = residuals.to(self.decoder.dtype), 1.0, 0.0
        if not self.centre and self.normalisation == NONE:
            return inputs, scale, shift
        mean = inputs.mean(dim=-1, keepdim=True)
        if self.centre or self.normalisation == LAYER_NORM:
            inputs = inputs - mean
        else:
            mean = torch.zeros_like(mean)
        if self.normalisation == LAYER_NORM:
            deviation = inputs.std(dim=-1, keepdim=True)
            return inputs / (deviation + LAYER_NORM_EPSILON), deviation, mean
        if self.normalisation == CONSTANT_NORM:
            factor = self.width**0.5 / inputs.norm(dim=-1, keepdim=True)
            return inputs * factor, 1 / factor, mean
        return inputs, scale, mean
