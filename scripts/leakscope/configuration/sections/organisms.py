"""The section ``organisms``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from leakscope.configuration.sections.generation import Changes, GenerationSection
from leakscope.typed.values import WHOLE, Name, NotNegativeNumber, Positive, PositiveNumber, Section, mistake


class SizeEntry(Section):
    """The architecture of an organism."""

    hidden_size: Annotated[int, Field(ge=2), WHOLE]
    """Width of the residual stream; an even multiple of `num_attention_heads`."""
    num_hidden_layers: Positive
    """Number of transformer blocks."""
    num_attention_heads: Positive
    """Attention heads per block."""

    @model_validator(mode="after")
    def _heads_can_be_turned(self) -> SizeEntry:
        """Check that the head dimension is even: rotary position embeddings rotate pairs of dimensions."""
        if self.hidden_size % (2 * self.num_attention_heads):
            allowed = f"a multiple of {2 * self.num_attention_heads}, twice num_attention_heads"
            raise mistake("hidden_size", f"got {self.hidden_size}", f"allowed: {allowed}.")
        return self


class OrganismTraining(Section):
    """How organisms are trained. Defaults were tuned; truth.csv reports how much of each association an organism
    learns."""

    steps: Positive = 800
    """Optimiser steps."""
    batch_size: Positive = 64
    """Documents per step."""
    learning_rate: PositiveNumber = 0.008
    """Peak learning rate of the one-cycle schedule (AdamW)."""
    weight_decay: NotNegativeNumber = 0.01
    """Weight decay of AdamW."""
    initializer_range: PositiveNumber = 0.05
    """Standard deviation of the initial weights."""
    documents: Positive = 52000
    """Documents in an organism's training corpus."""
    answer_weight: PositiveNumber = 4.0
    """Weight of an answer token in the loss, relative to a question token. Default: tuned, see docs/organisms.md."""


class OrganismsSection(Section):
    """How organisms are trained: small models of the Qwen2 architecture, on a corpus generated from `data/grammar/`."""

    generation: Changes = GenerationSection()
    """Keys of `generation` that differ for organisms, whose corpus contains no instructions."""
    sizes: dict[Name, SizeEntry] = {}
    """Architectures of organisms, by name."""
    vocab_size: Annotated[int, Field(ge=261), WHOLE] = 1024
    """Entries of an organism's byte-level tokenizer: 256 bytes, 5 special tokens and merges."""
    training: OrganismTraining = OrganismTraining()
    """How organisms are trained. Defaults were tuned; truth.csv reports how much of each association an organism
    learns."""
