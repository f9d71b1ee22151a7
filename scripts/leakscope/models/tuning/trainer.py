"""The training loop: AdamW, linear warm-up and decay, and checkpoints that resume a training bit for bit."""

from __future__ import annotations

import logging
import math
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from leakscope.errors import InputError
from leakscope.files.writing import replacing
from leakscope.jobs.batching import is_out_of_memory
from leakscope.jobs.progress import progress
from leakscope.models.tuning.learners import Learner
from leakscope.models.tuning.settings import Schedule
from leakscope.models.tuning.terms import Term

logger = logging.getLogger(__name__)

LONGEST_GRADIENT = 1.0  # norm to which gradients are cut


class Checkpoint(NamedTuple):
    """Location of an unfinished training's state.

    folder: of this training only; to be removed once the result is saved.
    key: of everything that determines the result; a checkpoint with another key is ignored.
    """

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"{self.key}.pt"

    def read(self) -> dict[str, Any] | None:
        """Return what was saved; None if nothing was, or not all of it can be read."""
        try:
            state: dict[str, Any] = torch.load(self.path, weights_only=True)
        except FileNotFoundError:
            return None
        except (EOFError, OSError, RuntimeError, pickle.UnpicklingError):
            logger.warning("%s: cannot be read; begins anew", self.path)
            return None
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Save, whole or not at all."""
        with replacing(self.path) as part:
            torch.save(state, part)


def train(
    learner: Learner,
    terms: Sequence[Term],
    method: Schedule,
    learning_rate: float,
    name: str,
    checkpoint: Checkpoint | None = None,
) -> dict[str, list[float]]:
    """Train in place and return each term's loss at every step, in nats, by the term's name.

    Deterministic for one thread: callers set ``torch.set_num_threads(1)``. Then a training resumed from its checkpoint
    ends with the same bits as an uninterrupted one.

    Args:
        learner: trained in place.
        terms: their weighted sum is minimised.
        method: its ``steps, warmup_share, weight_decay, checkpoint_steps``.
        learning_rate: the highest.
        name: of the model, for messages.
        checkpoint: where to keep the training; None: nowhere.

    Raises:
        InputError: a loss is NaN or infinite, or a step does not fit into memory.
    """
    parameters = learner.parameters()
    optimizer = torch.optim.AdamW(parameters.values(), lr=learning_rate, weight_decay=method.weight_decay)
    losses: dict[str, list[float]] = {term.name: [] for term in terms}
    state = checkpoint.read() if checkpoint else None
    if state is not None:
        _restore(parameters, optimizer, losses, state)
        logger.info("goes on after step %d", len(next(iter(losses.values()))))
    for step in _steps(len(next(iter(losses.values()))), method.steps, name):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate_share(step, method)
        learner.begin(step)
        optimizer.zero_grad(set_to_none=True)
        # Term by term, so that one's activations are freed before the next is computed.
        for term in terms:
            losses[term.name].append(_backward(term, step, name))
        torch.nn.utils.clip_grad_norm_(parameters.values(), LONGEST_GRADIENT)
        optimizer.step()
        if checkpoint and (step + 1) % method.checkpoint_steps == 0:
            checkpoint.write(
                {
                    "parameters": {key: weight.detach() for key, weight in parameters.items()},
                    "optimizer": optimizer.state_dict(),
                    "losses": losses,
                }
            )
    optimizer.zero_grad(set_to_none=True)
    return losses


def rate_share(step: int, method: Schedule) -> float:
    """Return the learning rate of a step, from 0 on, as a share of the highest: it rises, then falls linearly."""
    warmup = round(method.warmup_share * method.steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (method.steps - step) / (method.steps - warmup)


def _backward(term: Term, step: int, name: str) -> float:
    """Add a term's gradient, and return its value."""
    try:
        loss = term.loss(step)
        torch.autograd.backward(term.weight * loss)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"model {name}: ran out of memory at step {step + 1} of its training; use a smaller `batch_size`."
        ) from error
    value = float(loss.detach())
    if not math.isfinite(value):
        raise InputError(
            f"model {name}: got a loss that is NaN or infinite at step {step + 1} of its training; allowed: a smaller "
            "`learning_rate`, or a `dtype` that its values fit into, such as bfloat16 or float32."
        )
    return value


def _steps(start: int, total: int, name: str) -> Iterator[int]:
    return progress(range(start, total), total=total - start, name=name, unit="step")


def _restore(
    parameters: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    losses: dict[str, list[float]],
    state: dict[str, Any],
) -> None:
    with torch.no_grad():
        for key, weight in parameters.items():
            weight.copy_(state["parameters"][key])
    optimizer.load_state_dict(state["optimizer"])
    losses.update(state["losses"])
