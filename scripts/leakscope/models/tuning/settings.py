"""Settings shared by all trainings; imports no heavy library, as planning imports this module."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Lora(NamedTuple):
    """A low-rank adapter (Hu et al. 2021, arXiv 2106.09685), as ``peft`` makes it.

    r: rank of what is added to a weight.
    alpha: what is added is scaled by alpha / r.
    dropout: probability that an input of the adapter is dropped while it is trained.
    target_modules: names of the layers that get one; None: all linear layers but the unembedding.
    """

    r: int = 16
    alpha: float = 32
    dropout: float = 0.0
    target_modules: tuple[str, ...] | None = None


class Schedule(Protocol):
    """How long is trained, and how fast."""

    @property
    def steps(self) -> int:
        """Of the optimiser."""

    @property
    def batch_size(self) -> int:
        """Rows of a term to a step."""

    @property
    def warmup_share(self) -> float:
        """Share of the steps in which the learning rate rises linearly; in the others it falls, linearly, to zero."""

    @property
    def weight_decay(self) -> float:
        """Of AdamW."""

    @property
    def checkpoint_steps(self) -> int:
        """After so many steps each a training that is broken off can go on."""

    @property
    def keep(self) -> float:
        """Weight of KL(base || tuned) in nats per token of neutral text."""
