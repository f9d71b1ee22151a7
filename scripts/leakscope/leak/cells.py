"""Cells of imported tables: normalised column names, ids and numbers, and errors that show the row."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from leakscope.errors import InputError
from leakscope.files.known_formats import known_format
from leakscope.files.normal_form import composed

# Number of rows that an error or a warning lists.
SHOWN = 3
# Most digits of a whole number in a cell: no table has more rows or samples, and Python refuses thousands of digits.
MOST_DIGITS = 15


def with_known_columns(
    table: pd.DataFrame, known: Collection[str], others: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return a table with leakscope's column names: ``Control ID`` becomes ``control_id``.

    Args:
        table: as read.
        known: leakscope's names.
        others: other common name → leakscope's name; used if no column has leakscope's name.
    """
    given = {str(name) for name in table}
    plain = {name: re.sub(r"[\s\-.]+", "_", strip(name)).casefold() for name in map(str, table)}
    names: dict[str, str] = {}
    for name, ours in plain.items():
        if ours in known and ours not in given and ours not in names.values():
            names[name] = ours
    for ours in dict.fromkeys((others or {}).values()):
        meant = [name for name in plain if name not in names and (others or {}).get(plain[name]) == ours]
        # With several candidates the meaning is ambiguous.
        if len(meant) == 1 and ours not in given and ours not in names.values():
            names[meant[0]] = ours
    renamed = table.rename(columns=names)
    renamed.attrs["missing"] = {(row, names.get(name, name)) for row, name in table.attrs.get("missing", ())}
    return renamed


def other_columns(path: Path, table: pd.DataFrame, allowed: str, known: Collection[str]) -> InputError:
    """Return the error for a table in no known form: it lists the columns and hints at near misses."""
    names = [str(name) for name in table]
    if public := known_format(names):
        return InputError(f"{path}: got {public.what}; allowed: a table that has {allowed}. {public.advice}")
    nested = table.attrs.get("nested", {})
    where = next((f" ({place}: {name!r} holds lists or objects)" for name, place in nested.items()), "")
    near = {name: difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.7) for name in names}
    hints = [f"{found[0]!r} for {name!r}" for name, found in near.items() if found and found[0] not in names]
    hint = f" Did you mean {', '.join(hints[:SHOWN])}?" if hints else ""
    ours = {*known}
    rows = zip(table.index, records(table), strict=True)
    header = next((row for row, cells in rows if len(ours.intersection(cells.values())) > 1), None)
    sheets = table.attrs.get("sheets")
    if header is not None:
        hint = f" Row {header} looks like the header: delete the rows above it."
    elif sheets:
        hint = f" Or another sheet, by the key `sheet`: {some(sheets)}."
    return InputError(f"{path}: got the columns {', '.join(names)}{where}; allowed: a table that has {allowed}.{hint}")


def records(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return each row as column → cell."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.to_numpy().tolist()]


def at(path: Path, row: int) -> str:
    """Return a row's location for messages; rows are numbered as in a spreadsheet, with the header as row 1."""
    return f"{path}, row {row}"


def some(values: Iterable[object]) -> str:
    """Return the first values as text, and the number of further ones."""
    listed = list(values)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(map(str, listed[:SHOWN])) + more


def strip(value: str) -> str:
    """Strip spaces of any kind, including no-break and zero-width spaces."""
    return value.strip().strip("\u200b\ufeff\u2060").strip()


def whole(value: str) -> str:
    """Return ``1`` for ``1.0``, as spreadsheets write columns of whole numbers with gaps."""
    return re.sub(r"^(-?[0-9]+)\.0+$", r"\1", value)


def whole_number(value: str) -> int | None:
    """Return a cell's non-negative whole number; None for other text or more than ``MOST_DIGITS`` digits."""
    return int(value) if re.fullmatch(rf"[0-9]{{1,{MOST_DIGITS}}}", value) else None


def read_id(value: str) -> str:
    """Return an id without spreadsheet artefacts (spaces, ``.0``), composed: files may encode "é" in two ways."""
    return whole(composed(strip(value)))


def named(value: str) -> str | None:
    """Return the stripped text, None where it is empty or says "none"."""
    text = strip(value)
    return None if text.casefold() in ("", "none") else text
