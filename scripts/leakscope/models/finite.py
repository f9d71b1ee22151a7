"""Values that are no numbers: bad weights and half precision make them, and nothing that is computed from them counts.

A row of logits is no distribution if one of them is NaN, or the largest is not finite. Minus infinity is a logit like
any other: models have it for places of the vocabulary that are no token. Log-probabilities of a row that is none are
NaN, all of them, so what is computed from log-probabilities need not look at logits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from leakscope.errors import InputError

if TYPE_CHECKING:
    import torch

SHOWN = 60  # characters of a text, the last ones: texts of a study begin alike


def are_distributions(logits: torch.Tensor) -> torch.Tensor:
    """Return of each row of logits, [..., V], whether probabilities can be made of it."""
    # The largest of numbers one of which is NaN is NaN.
    return logits.amax(-1).isfinite()


def check_values(values: Mapping[tuple[str | int, ...], Any], model: str) -> None:
    """Check that there is no NaN in values that are to be stored.

    Args:
        values: numbers, or lists of them, by key of the store; the first part of a key is a text.
        model: its name.

    Raises:
        InputError: there is one.
    """
    for key, value in values.items():
        if has_nan(value):
            raise no_numbers(model, f"after {shown(str(key[0]))}")


def has_nan(value: Any) -> bool:
    """Say whether a number is NaN, or any in nested lists or tuples."""
    return any(map(has_nan, value)) if isinstance(value, list | tuple) else math.isnan(value)


def all_finite(values: torch.Tensor) -> bool:
    """Say whether all values are finite; without any, they are. Takes no memory, as ``isfinite`` would."""
    return not values.numel() or all(bool(limit.isfinite()) for limit in values.aminmax())


def no_numbers(model: str, where: str, what: str = "logits") -> InputError:
    """Return the error for a model that makes no numbers."""
    return InputError(
        f"model {model}: got {what} that are no numbers {where}; allowed: weights that are numbers, and a `dtype` that "
        "the model's values fit into, such as bfloat16 or float32."
    )


def shown(text: str) -> str:
    """Return the end of a text as messages show it."""
    return f"{'…' if len(text) > SHOWN else ''}{text[-SHOWN:]!r}"
