"""Methods to close the gap between generator and validator: their settings and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from leakscope.errors import one_of
from leakscope.models.tuning.settings import Lora

SUPERVISED, CONSISTENCY, DPO, RANKING = LOSSES = ("supervised", "consistency", "dpo", "ranking")
GENERATOR, VALIDATOR, BOTH = STUDENTS = ("generator", "validator", "both")
AUTO, LORA, FULL = PARAMETERS = ("auto", "lora", "full")
# Default learning rates of full training and of an adapter.
FULL_LEARNING_RATE, LORA_LEARNING_RATE = 1e-3, 2e-4

FULL_FILES = ("model.safetensors", "config.json", "generation_config.json")
"""Files of a fully trained model, without its tokenizer."""


class Method(NamedTuple):
    """Settings of a training.

    loss: ``supervised``, ``consistency``, ``dpo`` or ``ranking`` (see ``terms``).
    student: the trained side: ``generator``, ``validator`` or ``both`` (mean of the two losses).
    delta: for ``ranking``, the least difference of a pair's teacher scores, in nats.
    beta: for ``dpo``, the factor of differences of log-probabilities.
    reference: for ``ranking``, whether the base's difference is subtracted from the student's. Without it, two students
        that learn from each other swap their rankings, and the gap remains.
    steps: of the optimiser.
    batch_size: items or pairs per step, and the same number of neutral texts.
    learning_rate: peak learning rate; None: the default for the trained parameters.
    warmup_share: share of steps with a linearly rising learning rate; afterwards it falls linearly to zero.
    weight_decay: of AdamW.
    keep: weight of KL(base || tuned) in nats per token of neutral text.
    parameters: ``full``: all weights; ``lora``: an adapter; ``auto``: all weights of an organism, else an adapter.
    lora: settings of the adapter.
    checkpoint_steps: steps between checkpoints, from which an interrupted training resumes.
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
        """Return the peak learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return FULL_LEARNING_RATE if full else LORA_LEARNING_RATE


def read_method(settings: Mapping[str, Any], where: str) -> Method:
    """Return a method from the given keys, with defaults for the others.

    Args:
        settings: from the configuration; keys with None are treated as missing.
        where: their place, for messages.

    Raises:
        InputError: a key is unknown, or a loss, student or choice of parameters is.
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
    """Return whether all weights are trained, rather than an adapter."""
    return parameters == FULL or (parameters == AUTO and is_organism)


def _known(settings: Mapping[str, Any], keys: tuple[str, ...], where: str) -> dict[str, Any]:
    for key in settings:
        if key not in keys:
            raise one_of(f"{where}: key", key, keys)
    return {key: value for key, value in settings.items() if value is not None}
