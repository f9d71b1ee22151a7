"""Values of tables in the form in which a page's script reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

DIGITS = 5
"""Significant ones, of measured numbers; whole numbers stay whole."""


def value(cell: Any) -> Any:
    """Return a cell as JSON knows it: of a missing or infinite number None, of a missing text an empty one.

    >>> value(0.123456789), value(1234567.0), value(float("nan"))
    (0.12346, 1234567, None)
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
    """Return these columns of a table, an object a row."""
    return [
        {name: value(cell) for name, cell in zip(columns, row, strict=True)}
        for row in table[list(columns)].itertuples(index=False, name=None)
    ]
