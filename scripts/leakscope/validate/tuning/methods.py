"""Ways to close the gap between generator and validator: the keys of a method, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from leakscope.errors import one_of
from leakscope.models.tuning.settings import Lora

SUPERVISED, CONSISTENCY, DPO, RANKING = LOSSES = ("supervised", "consistency", "dpo", "ranking")
GENERATOR, VALIDATOR, BOTH = STUDENTS = ("generator", "validator", "both")
AUTO, LORA, FULL = PARAMETERS = ("auto", "lora", "full")
# Of the two, a full model moves in every direction at once, an adapter in few.
FULL_LEARNING_RATE, LORA_LEARNING_RATE = 1e-3, 2e-4

FULL_FILES = ("model.safetensors", "config.json", "generation_config.json")
"""What a model holds all of whose weights were trained, beside its tokenizer."""


class Method(NamedTuple):
    """How a model is trained.

    loss: ``supervised``, ``consistency``, ``dpo`` or ``ranking`` (see ``terms``).
    student: what is trained: ``generator``, ``validator`` or ``both``: the mean of the two.
    delta: of ``ranking``: by how much a pair's teacher scores differ at least; nats.
    beta: of ``dpo``: what differences of log-probabilities are multiplied by.
    reference: of ``ranking``: whether the base's own difference is taken off that of a pair. Without it, two students
        that learn from each other change places: each comes to rank as the other did, and the gap stays.
    steps: of the optimiser.
    batch_size: items or pairs to a step, and as many neutral texts.
    learning_rate: the highest; None: what the trained parameters need.
    warmup_share: of the steps, in which the learning rate rises linearly; in the others it falls, linearly, to zero.
    weight_decay: of AdamW.
    keep: weight of KL(base || tuned) in nats per token of neutral text.
    parameters: ``full``: all weights; ``lora``: an adapter; ``auto``: all weights of an organism, else an adapter.
    lora: the adapter.
    checkpoint_steps: after so many steps each a training that is broken off can go on.
    """

    loss: str
    student: str = BOTH
    delta: float = 1.0
    beta: float = 0.1
    reference: bool = True
    steps: int = 200
    batch_size: int = 48
    learning_rate: float | None = None
    warmup_share: float = 0.1
    weight_decay: float = 0.0
    keep: float = 1.0
    parameters: str = AUTO
    lora: Lora = Lora()
    checkpoint_steps: int = 50

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that are trained."""
        return (GENERATOR, VALIDATOR) if self.student == BOTH else (self.student,)

    def highest_rate(self, *, full: bool) -> float:
        """Return the highest learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return FULL_LEARNING_RATE if full else LORA_LEARNING_RATE


def read_method(settings: Mapping[str, Any], where: str) -> Method:
    """Return a method from the keys that are given; the others have their defaults.

    Args:
        settings: of the configuration; a key that is None counts as not given.
        where: they stand, for messages.

    Raises:
        InputError: a key is unknown, or there is no such loss, student or choice of parameters.
    """
    given = _known(settings, (*Method._fields, "description"), where)
    given.pop("description", None)
    lora = _known(given.pop("lora", {}), Lora._fields, f"{where}: key 'lora'")
    if "target_modules" in lora:
        lora["target_modules"] = tuple(lora["target_modules"])
    method = Method(**{"loss": None, **given}, lora=Lora(**lora))
    for key, allowed in (("loss", LOSSES), ("student", STUDENTS), ("parameters", PARAMETERS)):
        if getattr(method, key) not in allowed:
            raise one_of(f"{where}: key {key!r}", getattr(method, key), allowed)
    return method


def trains_all(parameters: str, *, is_organism: bool) -> bool:
    """Say whether all weights are trained, and not an adapter."""
    return parameters == FULL or (parameters == AUTO and is_organism)


def _known(settings: Mapping[str, Any], keys: tuple[str, ...], where: str) -> dict[str, Any]:
    for key in settings:
        if key not in keys:
            raise one_of(f"{where}: key", key, keys)
    return {key: value for key, value in settings.items() if value is not None}
