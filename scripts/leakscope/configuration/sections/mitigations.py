"""The section ``mitigations``: a catalogue of ways to take a leak out of a model, by name."""

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
    """The model is told to ignore what does not matter: as its system message, or before a prompt that has no chat."""

    kind: Literal["prompt"]
    wording: Text
    """What it is told."""


class DecodingMitigation(Labelled):
    """Each token is drawn from p(token | prompt)^(1−α) p(token | prompt without the clause)^α. Which clause that is
    must be known: an upper bound of what a decoding can do."""

    kind: Literal["decoding"]


class AttentionMitigation(Labelled):
    """Attention of later tokens to the concept's is multiplied by 1−α. Which tokens are the concept's must be known."""

    kind: Literal["attention"]
    layers: Several[Range] = [[0.0, 1.0]]
    """In which layers: first and last as shares of depth; each range is tried on its own."""


class SteeringMitigation(Labelled):
    """What the residual stream has along a direction for each group of concepts is taken out of it."""

    kind: Literal["steering"]
    direction: Literal["difference", "principal", "probe"]
    """`difference`: of the means with and without the concept; `principal`: the first principal component of these
    differences; `probe`: the weights of a logistic probe."""
    layers: Several[Share] = [0.5, 0.75]
    """Shares of depth; each layer is tried on its own, and all of them together."""


class FeaturesMitigation(Labelled):
    """Features of a dictionary that know the concept are edited, in the dictionary's model."""

    kind: Literal["features"]
    dictionary: str
    """Name of `features.dictionaries`; one of several seeds with its seed, `<name>.s<seed>`."""
    edit: Literal["ablate", "mean_clamp"] = "ablate"
    """`ablate`: they are taken out of the residual stream; `mean_clamp`: clamped to their mean."""
    features: Positive = 10
    """How many of them."""


class TuningMitigation(Labelled):
    """Low-rank matrices, trained so that a prompt with the concept is continued as its control is:
    KL(p_control ‖ p_test). Their scale is the strength."""

    kind: Literal["tuning"]
    r: Positive = 8
    """Rank of the matrices (Hu et al. 2021, arXiv 2106.09685)."""
    alpha: PositiveNumber = 16.0
    """What they add is scaled by this, divided by the rank."""
    steps: Positive = 100
    """Optimiser steps."""
    batch_size: Positive = 16
    """Pairs of prompts in one step, and as many neutral texts."""
    learning_rate: PositiveNumber = 0.001
    """Highest learning rate (AdamW)."""
    keep: NotNegativeNumber = 1.0
    """Weight, beside the loss, of the divergence from the base on neutral text (nats per token); 0: none."""


Mitigation = Annotated[
    PromptMitigation
    | DecodingMitigation
    | AttentionMitigation
    | SteeringMitigation
    | FeaturesMitigation
    | TuningMitigation,
    Field(discriminator="kind"),
]
