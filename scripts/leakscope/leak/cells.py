"""Cells of tables that others wrote: what a column is called, and what an id or name in it says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from leakscope.errors import InputError
from leakscope.files.known_formats import known_format
from leakscope.files.normal_form import composed

# Rows that an error or a warning names.
SHOWN = 3
# Digits of a whole number in a cell: no table has more rows or samples, and Python refuses to read thousands.
MOST_DIGITS = 15


def with_known_columns(
    table: pd.DataFrame, known: Collection[str], others: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return a table in which columns have our names: ``Control ID`` is ``control_id``.

    Args:
        known: our names.
        others: what others call a column → our name; taken where no column has that.
    """
    given = {str(name) for name in table}
    plain = {name: re.sub(r"[\s\-.]+", "_", strip(name)).casefold() for name in map(str, table)}
    names: dict[str, str] = {}
    for name, ours in plain.items():
        if ours in known and ours not in given and ours not in names.values():
            names[name] = ours
    for ours in dict.fromkeys((others or {}).values()):
        meant = [name for name in plain if name not in names and (others or {}).get(plain[name]) == ours]
        # Of several nobody knows which one is meant.
        if len(meant) == 1 and ours not in given and ours not in names.values():
            names[meant[0]] = ours
    renamed = table.rename(columns=names)
    renamed.attrs["missing"] = {(row, names.get(name, name)) for row, name in table.attrs.get("missing", ())}
    return renamed


def other_columns(path: Path, table: pd.DataFrame, allowed: str, known: Collection[str]) -> InputError:
    """Return the error for a table in none of the forms that are read: with what it has, and what was nearly right."""
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
        hint = f" Row {header} looks like the header: nothing may stand above it."
    elif sheets:
        hint = f" Or another sheet, by the key `sheet`: {some(sheets)}."
    return InputError(f"{path}: got the columns {', '.join(names)}{where}; allowed: a table that has {allowed}.{hint}")


def records(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return each row as column → cell."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.to_numpy().tolist()]


def at(path: Path, row: int) -> str:
    """Return where a row is: its number is that of a spreadsheet, the header's is 1."""
    return f"{path}, row {row}"


def some(values: Iterable[object]) -> str:
    """Return the first few of some values, and how many more there are."""
    listed = list(values)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(map(str, listed[:SHOWN])) + more


def strip(value: str) -> str:
    """Strip spaces of any kind, no-break ones and those without width included."""
    return value.strip().strip("\u200b\ufeff\u2060").strip()


def whole(value: str) -> str:
    """Return ``1`` for ``1.0``: a column of whole numbers with gaps is written so."""
    return re.sub(r"^(-?[0-9]+)\.0+$", r"\1", value)


def whole_number(value: str) -> int | None:
    """Return the whole number from 0 that a cell says, None where it says something else, or one of endless digits."""
    return int(value) if re.fullmatch(rf"[0-9]{{1,{MOST_DIGITS}}}", value) else None


def read_id(value: str) -> str:
    """Return an id without what spreadsheets add to it, its letters composed: two files may write "é" in two ways."""
    return whole(composed(strip(value)))


def named(value: str) -> str | None:
    """Return the stripped text, None where it is empty or says "none"."""
    text = strip(value)
    return None if text.casefold() in ("", "none") else text
