"""Table values as JSON values for a page's script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

DIGITS = 5
"""Significant digits of measured numbers; integers stay integers."""


def value(cell: Any) -> Any:
    """Return a cell as a JSON value: None for a missing or infinite number, "" for a missing text.

    >>> value(0.123456789), value(1234567.0), value(float("nan")) (0.12346, 1234567, None)
    """
    if cell is None or cell is pd.NA:
        return None
    if isinstance(cell, str):
        return cell
    number = float(cell)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else float(f"{number:.{DIGITS}g}")


def values(column: pd.Series) -> list[Any]:
    """Return the values of a column."""
    return [value(cell) for cell in column.tolist()]


def records(table: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return columns of a table as one object per row."""
    return [
        {name: value(cell) for name, cell in zip(columns, row, strict=True)}
        for row in table[list(columns)].itertuples(index=False, name=None)
    ]
