"""Checks for NaN and infinity, which bad weights and half precision cause: results computed from them are invalid.

A row of logits is no distribution if any logit is NaN, or if the largest is not finite. Minus infinity is valid: models
have it for vocabulary entries without a token. All log-probabilities of an invalid row are NaN, so checking
log-probabilities is enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from leakscope.errors import InputError

if TYPE_CHECKING:
    import torch

SHOWN = 60  # last characters of a text in messages: texts of a study have similar beginnings


def are_distributions(logits: torch.Tensor) -> torch.Tensor:
    """Return whether each row of logits, [..., V], defines a distribution."""
    # The maximum is NaN if any value is.
    return logits.amax(-1).isfinite()


def check_values(values: Mapping[tuple[str | int, ...], Any], model: str) -> None:
    """Check that values contain no NaN before they are stored.

    Args:
        values: numbers, or lists of them, by key of the store; the first part of a key is a text.
        model: its name.

    Raises:
        InputError: a value is NaN.
    """
    for key, value in values.items():
        if has_nan(value):
            raise no_numbers(model, f"after {shown(str(key[0]))}")


def has_nan(value: Any) -> bool:
    """Return whether a number, or any number in nested lists or tuples, is NaN."""
    return any(map(has_nan, value)) if isinstance(value, list | tuple) else math.isnan(value)


def all_finite(values: torch.Tensor) -> bool:
    """Return whether all values are finite (True if empty). Unlike ``isfinite``, takes no memory."""
    return not values.numel() or all(bool(limit.isfinite()) for limit in values.aminmax())


def no_numbers(model: str, where: str, what: str = "logits") -> InputError:
    """Return the error for a model that gives NaN or infinity."""
    return InputError(
        f"model {model}: got {what} that are NaN or infinite {where}; allowed: finite weights, and a `dtype` that the "
        "model's values fit into, such as bfloat16 or float32."
    )


def shown(text: str) -> str:
    """Return the end of a text for messages."""
    return f"{'…' if len(text) > SHOWN else ''}{text[-SHOWN:]!r}"
