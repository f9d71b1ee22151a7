"""The section ``mitigations``: a catalogue of ways to remove a leak from a model, by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leakscope.typed.values import (
    Labelled,
    NotNegativeNumber,
    Positive,
    PositiveNumber,
    Several,
    Share,
    Text,
)

Range = Annotated[list[Share], Field(min_length=2, max_length=2, title="the first and the last share of depth")]


class PromptMitigation(Labelled):
    """An instruction to ignore irrelevant content: in the system message, or before the prompt of a model without chat
    template."""

    kind: Literal["prompt"]
    wording: Text
    """The instruction."""


class DecodingMitigation(Labelled):
    """Each token is drawn from p(token | prompt)^(1−α) p(token | prompt without the clause)^α. It needs to know the
    clause, so it is an upper bound for decoding methods."""

    kind: Literal["decoding"]


class AttentionMitigation(Labelled):
    """Attention of later tokens to the concept's tokens is multiplied by 1−α. It needs to know the concept's tokens."""

    kind: Literal["attention"]
    layers: Several[Range] = [[0.0, 1.0]]
    """Ranges of layers, first and last as shares of depth; each range is tried separately."""


class SteeringMitigation(Labelled):
    """The residual stream's component along one direction per concept group is removed."""

    kind: Literal["steering"]
    direction: Literal["difference", "principal", "probe"]
    """`difference`: difference in means with and without the concept; `principal`: first principal component of these
    differences; `probe`: weights of a logistic probe."""
    layers: Several[Share] = [0.5, 0.75]
    """Layers as shares of depth; each is tried separately, and all together."""


class FeaturesMitigation(Labelled):
    """The dictionary features that encode the concept are edited, in the dictionary's model."""

    kind: Literal["features"]
    dictionary: str
    """Name of `features.dictionaries`; with several seeds, `<name>.s<seed>`."""
    edit: Literal["ablate", "mean_clamp"] = "ablate"
    """`ablate`: removed from the residual stream; `mean_clamp`: clamped to their mean."""
    features: Positive = 10
    """Number of features edited."""


class TuningMitigation(Labelled):
    """Low-rank matrices, trained to continue a prompt with the concept like its control: KL(p_control ‖ p_test). Their
    scale is the strength."""

    kind: Literal["tuning"]
    r: Positive = 8
    """Rank r of the matrices (Hu et al. 2021, arXiv 2106.09685)."""
    alpha: PositiveNumber = 16.0
    """Scaling α: their output is multiplied by α/r."""
    steps: Positive = 100
    """Optimiser steps."""
    batch_size: Positive = 16
    """Pairs of prompts per step, and as many neutral texts."""
    learning_rate: PositiveNumber = 0.001
    """Peak learning rate (AdamW)."""
    keep: NotNegativeNumber = 1.0
    """Weight in the loss of the KL divergence from the base on neutral text (nats per token); 0: none."""


Mitigation = Annotated[
    PromptMitigation
    | DecodingMitigation
    | AttentionMitigation
    | SteeringMitigation
    | FeaturesMitigation
    | TuningMitigation,
    Field(discriminator="kind"),
]
