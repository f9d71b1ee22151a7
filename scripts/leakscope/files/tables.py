"""Tables on disk: users' tables (CSV, TSV, XLSX, JSON, JSONL, Parquet) and the workflow's own (Parquet, CSV)."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import ZipFile

from leakscope.errors import InputError, counted, one_of
from leakscope.files.names import TEXTS
from leakscope.files.normal_form import composed
from leakscope.files.reading import (
    LARGEST_FILE,
    MEGABYTE,
    PACKED,
    check_regular,
    in_one_line,
    parse_json,
    read_beginning,
    read_unpacked,
    whole_characters,
)
from leakscope.files.writing import replacing

# pandas is imported inside functions: Snakemake imports this module each time it builds its graph.
if TYPE_CHECKING:
    import pandas as pd

# Most cells of a table that is read whole: some gigabytes as text.
MOST_CELLS = 50_000_000
ROWS_OF_A_SHEET = 2**20
# Rows of a Parquet file that are decompressed at once.
ROWS_AT_ONCE = 1024
# Largest workbook in bytes after decompression: reading it takes about ten times as much memory.
LARGEST_WORKBOOK = 250 * MEGABYTE
# Bytes of a table, after decompression, that are read to find its first rows.
BEGINNING = 10 * MEGABYTE
UNOPENED = "a file that cannot be opened"
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s>/]")
# Suffixes of unsupported tables, with what to do.
UNREAD = {
    ".xls": "an old Excel file; save it as .xlsx or .csv",
    ".xlsm": "an Excel file with macros; save it as .xlsx or .csv",
    ".xlsb": "a binary Excel file; save it as .xlsx or .csv",
    ".ods": "an OpenDocument spreadsheet; save it as .xlsx or .csv",
    ".numbers": "a Numbers spreadsheet; export it as .xlsx or .csv",
    ".feather": "a Feather table; save it as .parquet or .csv",
    ".arrow": "an Arrow table; save it as .parquet or .csv",
    ".pkl": "a pickle, which may run code; save it as .parquet or .csv",
    ".pickle": "a pickle, which may run code; save it as .parquet or .csv",
    ".zip": "a ZIP archive; unpack it, or pack a text file by gzip (.csv.gz)",
    ".bz2": "a file packed by bzip2; unpack it, or pack it by gzip (.csv.gz)",
    ".xz": "a file packed by xz; unpack it, or pack it by gzip (.csv.gz)",
    ".txt": "plain text; name a table with a header .csv or .tsv",
}
DELIMITERS = ",;\t|"
# Excel's line above a table that states the delimiter.
_SAID_DELIMITER = re.compile(r"\ufeff?sep=([,;\t|])\r?\n")
# A cell may hold a long text; the module's default limit is 131,072 characters.
csv.field_size_limit(LARGEST_FILE)
JSON = (".json", ".jsonl", ".ndjson")
# Those that may be compressed.
TEXTUAL = (".csv", ".tsv", *JSON)
KINDS = (".csv", ".tsv", ".xlsx", *JSON, ".parquet")


class _Wanted(NamedTuple):
    """The number of rows to read, and whether the text given is the whole file."""

    rows: int
    is_whole: bool


_WHOLE = _Wanted(sys.maxsize, True)


class Sheet(NamedTuple):
    """A header and rows of cells, as text; rows are as long as the header."""

    header: list[str]
    rows: list[list[str]]
    # Row numbers as a spreadsheet shows them, counting the header; in formats without a header, line or item numbers.
    numbers: list[int]
    # Column that is omitted because it holds lists or objects → place of the first one.
    nested: dict[str, str] = {}
    # (row number, column) of cells that are null rather than an empty text.
    missing: frozenset[tuple[int, str]] = frozenset()
    # Names of the other sheets of a workbook.
    others: tuple[str, ...] = ()


def read_table(path: Path, sheet: str | None = None) -> pd.DataFrame:
    """Return a user's table with every cell as text, as written; missing cells are the empty text.

    Texts are in Unicode form C (``normal_form``) and otherwise unchanged, so "None" and "NA" stay text. Column names
    are stripped; a column without a name is called ``Unnamed: <number>``. The index holds the row numbers that a
    spreadsheet shows. Columns of lists or objects are omitted.

    ``attrs["nested"]`` maps omitted columns to their places, ``attrs["missing"]`` is the set of (row, column) that are
    ``null`` or have no value, ``attrs["sheets"]`` the names of the other sheets.

    Args:
        path: .csv, .tsv, .json (a list of objects), .jsonl or .ndjson (one object per line), each also compressed
            (.gz, .zst); .xlsx or .parquet.
        sheet: sheet of an XLSX file; None: the first one.

    Raises:
        InputError: the file is missing, has another suffix, is damaged or not UTF-8, has no row, or has values that
            cannot become text.
    """
    return _frame(read_rows(path, sheet))


def read_first_rows(path: Path, rows: int, sheet: str | None = None) -> pd.DataFrame | None:
    """Return the first rows of a table, as ``read_table``, reading at most ``BEGINNING`` bytes; for quick checks.

    None where these bytes hold no row, and for larger tables in formats that can only be read whole (XLSX, a list in
    JSON).

    Raises:
        InputError: as ``read_table``, for the part that was read.
    """
    kind = _kind(path)
    if kind in TEXTUAL and path.is_file() and sheet is None:
        text, is_whole = read_beginning(path, BEGINNING)
        if not is_whole and (not text or (kind in JSON and text.lstrip().startswith("["))):
            return None
        read = _TEXTUAL[kind](path, text, _Wanted(rows, is_whole))
        return None if not (read.rows or is_whole) else _frame(_checked(path, read))
    if kind == ".parquet" and path.is_file():
        return _frame(_checked(path, _read_parquet(path, rows)))
    if path.is_file() and path.stat().st_size > BEGINNING:
        return None
    return read_table(path, sheet).head(rows)


def _frame(read: Sheet) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(read.rows, columns=read.header, index=read.numbers, dtype="str")
    frame.attrs |= {"nested": read.nested, "missing": read.missing, "sheets": read.others}
    return frame


def read_rows(path: Path, sheet: str | None = None, *, suffixes: Sequence[str] = ()) -> Sheet:
    """Return header and rows of a user's table, as ``read_table``, without pandas.

    Args:
        path: as in ``read_table``.
        sheet: as in ``read_table``.
        suffixes: the allowed suffixes; empty: all readable ones.

    Raises:
        InputError: as ``read_table``.
    """
    kind, allowed = _kind(path), suffixes or KINDS
    if kind not in allowed:
        what = UNREAD.get(kind, f"the suffix {path.suffix!r}")
        raise InputError(f"{path}: got {what}; allowed: {', '.join(allowed)}.")
    if sheet is not None and kind != ".xlsx":
        raise InputError(f"{path}: got sheet {sheet!r}; allowed: a sheet of an .xlsx file only.")
    if not path.exists() and not path.is_symlink():
        raise InputError(f"{path}: got no such file; allowed: a path that exists.")
    check_regular(path)
    if kind in TEXTUAL:
        return _checked(path, _TEXTUAL[kind](path, read_unpacked(path), _WHOLE))
    return _checked(path, _read_parquet(path) if kind == ".parquet" else _read_xlsx(path, sheet))


def _kind(path: Path) -> str:
    """Return the suffix of a table's format, without a suffix of its compression."""
    inner = path.with_suffix("").suffix.lower()
    return inner if path.suffix.lower() in PACKED and inner in TEXTUAL else path.suffix.lower()


def read_tables(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Return the workflow's own Parquet tables, concatenated in order, with their types."""
    import pandas as pd

    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


def read_csv(path: str | Path) -> pd.DataFrame:
    """Return a table written by ``write_csv``: columns in ``names.TEXTS`` stay text, others get inferred types.

    So models called "NA", "3.10" and "007" keep their names. Only an empty cell is missing.
    """
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(TEXTS, "str"))


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write Parquet atomically; equal tables give equal bytes."""
    with replacing(path) as part:
        frame.to_parquet(part, index=False)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write CSV for readers, atomically: floats rounded to 6 digits, missing cells empty, lines ended by LF."""
    kinds = {name: frame[name].dtype.kind for name in frame}
    floats = {str(name): frame[name].astype("float64").round(6) + 0.0 for name in frame if kinds[name] == "f"}
    # Python 3.11 does not quote a lone carriage return, and readers would split the row there.
    returns = any("\r" in str(value) for name in frame if kinds[name] == "O" for value in frame[name])
    with replacing(path) as part:
        frame.assign(**floats).to_csv(
            part,
            index=False,
            lineterminator="\n",
            encoding="utf-8",
            quoting=csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL,
        )


def _checked(path: Path, sheet: Sheet) -> Sheet:
    header = [whole_characters(name, f"{path}: name of column {i}") for i, name in enumerate(sheet.header, 1)]
    names = [composed(name.strip()) or f"Unnamed: {i}" for i, name in enumerate(header)]
    rows = [[composed(cell) for cell in row] for row in sheet.rows]
    _refuse_twice(path, names)
    while rows and not any(rows[-1]):  # spreadsheets export empty rows at the end
        rows.pop()
    if not names and sheet.nested:
        raise InputError(f"{path}: got only lists or objects; allowed: objects with texts or numbers.")
    if not rows:
        raise InputError(f"{path}: got an empty table; allowed: a header and at least one row.")
    called = dict(zip(sheet.header, names, strict=True))
    missing = frozenset((number, called.get(name, name)) for number, name in sheet.missing)
    return sheet._replace(header=names, rows=rows, numbers=sheet.numbers[: len(rows)], missing=missing)


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(f"{path}: got the column {twice[0]!r} twice; allowed: each column once.")


def _parse_csv(path: Path, text: str, part: _Wanted) -> Sheet:
    return _parse_delimited(path, part, *_delimited(text, ","))


def _parse_tsv(path: Path, text: str, part: _Wanted) -> Sheet:
    return _parse_delimited(path, part, *_delimited(text, "\t"))


def _delimited(text: str, usual: str) -> tuple[str, str]:
    """Return a table without the line that states its delimiter, and the delimiter: the usual one if the header has it.

    Spreadsheets write semicolons in locales with decimal commas, and some TSV files are called CSV or the reverse.
    """
    said = _SAID_DELIMITER.match(text)
    if said:
        return text[said.end() :], said[1]
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=usual), [""])
    except csv.Error:  # reported by _parse_delimited, with its line
        header = []
    others = usual + DELIMITERS
    return text, max(others, key=usual.join(header).count) if len(header) == 1 else usual


def _parse_delimited(path: Path, part: _Wanted, text: str, delimiter: str) -> Sheet:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        for number, row in enumerate(reader, 1):
            if len(rows) > part.rows:
                break
            if rows and row and len(row) != len(rows[0]):
                fields = counted(len(row), "field", "fields")
                allowed = f"{len(rows[0])}, as in the header"
                raise InputError(f"{path}, row {number}: got {fields}; allowed: {allowed}.")
            if row:
                rows.append(row)
                numbers.append(number)
    except csv.Error as error:
        if not part.is_whole and str(error) == "unexpected end of data":
            return Sheet(rows[0], rows[1:], numbers[1:]) if rows else Sheet([], [], [])
        allowed = "fields in double quotes, quotes inside them doubled"
        raise InputError(f"{path}, line {reader.line_num}: got {error}; allowed: {allowed}.") from error
    return Sheet(rows[0], rows[1:], numbers[1:]) if rows else Sheet([], [], [])


def _parse_json(path: Path, text: str, part: _Wanted) -> Sheet:
    """Read a list of objects, or one object per line, whatever the file's suffix."""
    is_list = text.lstrip().startswith("[")
    found = islice(_listed(text, path) if is_list else _lines(text, path), part.rows)
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    for where, number, record in found:
        if not isinstance(record, dict):
            allowed = "a list of objects" if is_list else "one JSON object a line"
            raise InputError(f"{where}: got a JSON {type(record).__name__}; allowed: {allowed}.")
        records.append(record)
        numbers.append(number)
    names = list(dict.fromkeys(name for record in records for name in record))
    unit = "item" if is_list else "line"
    nested = {
        name: f"{path}, {unit} {number}"
        for record, number in zip(reversed(records), reversed(numbers), strict=True)
        for name, value in record.items()
        if isinstance(value, list | dict)
    }
    names = [name for name in names if name not in nested]
    _check_cells(path, len(records), len(names))
    rows = [
        [_text(record.get(name), f"{path}, {unit} {number}: key {name!r}") for name in names]
        for record, number in zip(records, numbers, strict=True)
    ]
    missing = frozenset(
        (number, name)
        for record, number in zip(records, numbers, strict=True)
        for name in names
        if _is_missing(record.get(name))
    )
    return Sheet(names, rows, numbers, nested, missing)


def _listed(text: str, path: Path) -> Iterator[tuple[str, int, Any]]:
    for number, record in enumerate(parse_json(text, str(path), "a list of objects", whole=False), 1):
        yield f"{path}, item {number}", number, record


def _lines(text: str, path: Path) -> Iterator[tuple[str, int, Any]]:
    # Not splitlines(): a JSON text may hold other line separators, such as U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, number, parse_json(line, where, "one JSON object a line", whole=False)


def _read_parquet(path: Path, rows: int | None = None) -> Sheet:
    from pyarrow import parquet

    check_regular(path)
    with in_one_line(path, "a Parquet file"):
        # Not read_table(): it interprets folder names such as `a=b` as columns.
        file = parquet.ParquetFile(path)
        _check_cells(path, file.metadata.num_rows if rows is None else rows, file.metadata.num_columns)
        table = _unpacked(path, file, rows)
        return _parquet_sheet(path, table)


def _parquet_sheet(path: Path, table: Any) -> Sheet:
    import pyarrow

    _refuse_twice(path, table.column_names)
    nested = {
        name: f"{path}, column {name!r}"
        for name, kind in zip(table.column_names, table.schema.types, strict=True)
        if pyarrow.types.is_nested(kind)
    }
    names = [name for name in table.column_names if name not in nested]
    columns = [_parquet_column(path, name, table[name]) for name in names]
    missing = frozenset(
        (i, name) for name in names for i, value in enumerate(table[name].is_valid(), 1) if not value.as_py()
    )
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Sheet(names, rows, list(range(1, table.num_rows + 1)), nested, missing)


def _parquet_column(path: Path, name: str, column: Any) -> list[str]:
    # Invalid values, such as the year 300,000 or an unknown time zone, raise only when converted to Python.
    with in_one_line(f"{path}, column {name!r}", "text, numbers, true, false and null"):
        values = column.to_pylist()
        return [_text(value, f"{path}, row {i}: column {name!r}") for i, value in enumerate(values, 1)]


def _unpacked(path: Path, file: Any, rows: int | None) -> Any:
    """Return the table of a Parquet file, within ``LARGEST_FILE``: one stored text may expand to millions of cells."""
    import pyarrow

    batches, n_bytes = [], 0
    for batch in islice(file.iter_batches(batch_size=rows or ROWS_AT_ONCE), None if rows is None else 1):
        columns = [c.dictionary_decode() if isinstance(c, pyarrow.DictionaryArray) else c for c in batch.columns]
        batches.append(pyarrow.RecordBatch.from_arrays(columns, names=batch.schema.names))
        n_bytes += batches[-1].nbytes
        if n_bytes > LARGEST_FILE:
            largest = f"{LARGEST_FILE / MEGABYTE:,.0f} MB"
            raise InputError(f"{path}: got more than {largest}, unpacked; allowed: at most {largest}.")
    return pyarrow.Table.from_batches(batches) if batches else file.schema_arrow.empty_table()


def _read_xlsx(path: Path, sheet: str | None = None) -> Sheet:
    import pandas as pd

    check_workbook(path)
    with in_one_line(path, "XLSX", UNOPENED), pd.ExcelFile(path, engine="openpyxl") as book:
        if sheet is not None and sheet not in book.sheet_names:
            raise one_of(f"{path}: sheet", sheet, map(str, book.sheet_names))
        # Not read_excel(): it makes all rows as long as the longest, however many there are.
        name = sheet or str(book.sheet_names[0])
        rows, numbers, errors = _sheet_rows(path, book.book[name])
        others = tuple(str(other) for other in book.sheet_names if other != name)
    if len(rows) < 2 and others:
        allowed = f"a header and rows, or another sheet in the key `sheet`: {', '.join(others)}"
        raise InputError(f"{path}: got no row in the sheet {name!r}; allowed: {allowed}.")
    if not rows:
        return Sheet([], [], [])
    header = rows[0]
    missing = {(i, header[place]) for i, place in errors | _formulas(path, name) if place < len(header)}
    empty = {
        (i, column)
        for i, row in zip(numbers, rows, strict=True)
        for column, cell in zip(header, row, strict=True)
        if not cell
    }
    return Sheet(header, rows[1:], numbers[1:], missing=frozenset(missing & empty), others=others)


def _formulas(path: Path, sheet: str) -> set[tuple[int, int]]:
    """Return row and column of each formula; a program that writes a text starting with "=" creates a formula.

    Spreadsheet programs store a formula's value; other programs do not, and then the cell reads as empty.
    """
    import pandas as pd

    with in_one_line(path, "XLSX", UNOPENED):
        with ZipFile(path) as archive:
            sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
            if not any(_FORMULA.search(archive.read(name)) for name in sheets):
                return set()
        with pd.ExcelFile(path, engine="openpyxl", engine_kwargs={"data_only": False}) as book:
            book.book[sheet].reset_dimensions()
            rows = enumerate(book.book[sheet].rows, 1)
            return {(i, place) for i, row in rows for place, cell in enumerate(row) if cell.data_type == "f"}


def _sheet_rows(path: Path, sheet: Any) -> tuple[list[list[str]], list[int], set[tuple[int, int]]]:
    """Return the cells of a sheet as text in rows of equal length, the row numbers, and the places of errors."""
    sheet.reset_dimensions()  # the dimensions stated in a file may be wrong
    rows: list[list[str]] = []
    errors: set[tuple[int, int]] = set()
    last = width = 0
    for cells in sheet.rows:
        row = [_cell_text(cell) for cell in cells]
        errors |= {(len(rows) + 1, place) for place, cell in enumerate(cells) if cell.data_type == "e"}
        while row and not row[-1]:
            row.pop()
        rows.append(row)
        if len(rows) > ROWS_OF_A_SHEET:
            raise InputError(
                f"{path}: got more than {ROWS_OF_A_SHEET:,} rows; allowed: at most as many as an XLSX sheet holds."
            )
        if row:
            last, width = len(rows), max(width, len(row))
            _check_cells(path, last, width)
    # In a sheet with one column, an empty row is a blank line.
    kept = [(row + [""] * (width - len(row)), i) for i, row in enumerate(rows[:last], 1) if row or width > 1]
    return [row for row, _ in kept], [number for _, number in kept], errors


def _cell_text(cell: Any) -> str:
    """Return the text of a cell: whole numbers without a decimal point; an error such as #N/A is missing.

    Dates without a time of day are written as 2024-01-01: spreadsheets turn such names into dates.
    """
    value = cell.value
    if value is None or cell.data_type == "e":
        return ""
    if isinstance(value, datetime) and value.time() == time.min:
        return value.date().isoformat()
    if isinstance(value, bool):
        return str(value).upper()
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


# Suffix → parser.
_TEXTUAL: dict[str, Callable[[Path, str, _Wanted], Sheet]] = {
    ".csv": _parse_csv,
    ".tsv": _parse_tsv,
    **dict.fromkeys(JSON, _parse_json),
}


def _text(value: object, where: str) -> str:
    """Return a cell of a typed table as text; null and NaN are the empty text."""
    if _is_missing(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict | bytes):
        raise InputError(f"{where}: got a {type(value).__name__}; allowed: text, a number, true, false or null.")
    return whole_characters(str(value), where)


def _is_missing(value: object) -> bool:
    return value is None or value != value


def check_workbook(path: Path) -> None:
    """Check the decompressed size of an XLSX file without decompressing it.

    Raises:
        InputError: the file is too large, or is not a ZIP archive.
    """
    check_regular(path)
    with in_one_line(path, "XLSX", UNOPENED), ZipFile(path) as archive:
        n_bytes = sum(member.file_size for member in archive.infolist())
    if n_bytes > LARGEST_WORKBOOK:
        unpacked, largest = (f"{n / MEGABYTE:,.0f} MB" for n in (n_bytes, LARGEST_WORKBOOK))
        raise InputError(f"{path}: got {unpacked}, unpacked; allowed: at most {largest}, or the table as CSV.")


def _check_cells(path: Path, n_rows: int, n_columns: int) -> None:
    if n_rows * n_columns > MOST_CELLS:
        shape = f"{n_rows:,} rows of {n_columns:,} columns"
        raise InputError(f"{path}: got {shape}; allowed: at most {MOST_CELLS:,} cells.")
