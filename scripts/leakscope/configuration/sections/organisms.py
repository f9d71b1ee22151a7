"""The section ``organisms``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from leakscope.configuration.sections.generation import Changes, GenerationSection
from leakscope.typed.values import WHOLE, Name, NotNegativeNumber, Positive, PositiveNumber, Section, mistake


class SizeEntry(Section):
    """The shape of an organism."""

    hidden_size: Annotated[int, Field(ge=2), WHOLE]
    """Width of the residual stream; an even multiple of `num_attention_heads`."""
    num_hidden_layers: Positive
    """Transformer blocks."""
    num_attention_heads: Positive
    """Attention heads in a block."""

    @model_validator(mode="after")
    def _heads_can_be_turned(self) -> SizeEntry:
        """Rotary position embeddings turn the numbers of a head in pairs."""
        if self.hidden_size % (2 * self.num_attention_heads):
            allowed = f"a multiple of {2 * self.num_attention_heads}, twice num_attention_heads"
            raise mistake("hidden_size", f"got {self.hidden_size}", f"allowed: {allowed}.")
        return self


class OrganismTraining(Section):
    """How organisms are trained. Defaults: measured; what is not learnt of an association stands in truth.csv."""

    steps: Positive = 800
    """Optimiser steps."""
    batch_size: Positive = 64
    """Documents in one step."""
    learning_rate: PositiveNumber = 0.008
    """Highest learning rate of the one-cycle schedule (AdamW)."""
    weight_decay: NotNegativeNumber = 0.01
    """Weight decay of AdamW."""
    initializer_range: PositiveNumber = 0.05
    """Standard deviation of the initial weights."""
    documents: Positive = 52000
    """Documents in the corpus an organism is trained on."""
    answer_weight: PositiveNumber = 4.0
    """How many times a token of the answer counts in the loss, against one of the question. Default: measured, see
    docs/organisms.md."""


class OrganismsSection(Section):
    """How organisms are made: small Qwen2-architecture models trained on a corpus written from `data/grammar/`."""

    generation: Changes = GenerationSection()
    """Keys of `generation` that differ for organisms, whose corpus knows no instructions."""
    sizes: dict[Name, SizeEntry] = {}
    """Shapes of organisms, by name."""
    vocab_size: Annotated[int, Field(ge=261), WHOLE] = 1024
    """Entries of an organism's byte-level tokenizer: 256 bytes, 5 special tokens and merges."""
    training: OrganismTraining = OrganismTraining()
    """How organisms are trained. Defaults: measured; what is not learnt of an association stands in truth.csv."""
