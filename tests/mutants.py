"""Files in which something is wrong: samples that are right, and what is changed in them, drawn by hypothesis."""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
import random
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from openpyxl.utils.exceptions import IllegalCharacterError

LONGEST_LINE = 400


class Raw(str):
    """What stands in a file of JSON or YAML as it is, without quotes."""


# What stands where something else belongs.
VALUES: list[Any] = [
    None, True, 0, 1, -1, 2.5, 1e300, 1e308, -1e-320, 10**30, float("nan"), float("inf"), "", " ", "\n", "null", "5e-3",
    "é\u2028", "\x00", "\ud800", "<b>", "</script>", "a" * 5000, "$NOWHERE/x", "~nobody/x", "../..", "/dev/zero",
    "{prompt}", "{", "}{", "{0}", "{a.b!r:x}", [], [[]], [None], ["colors", "colors"], {}, {"a": 1}, {1: 2},
    {None: None}, {"source": "hub"}, {"source": []}, {"source": {}}, {"kind": "lexical"}, "organism-s-l0", "colors",
    "hub", "own", 20241129, "2024-13-45",
]  # fmt: skip
NUMBERS = ["1e400", "-1e400", "1" + "0" * 400, "9" * 5000, "NaN", "-Infinity", "1e300", "01", "0x1f", "1_000", "-0.0"]
RAWS = [
    *NUMBERS, "[" * 100_000, '{"a":' * 100_000, '"\\ud800"', '"\\udc00x"', "tru", "'a'", "", ",", "2024-13-45",
    "2024-02-30 25:61:00", "*nobody", "&a [*a]", "!!python/object:os.system x", "!!int x", "!!float ''", "!!binary =",
    "!!timestamp x", "2001-01-01 00:00:00 +99:99", "!!set [a]", "!!omap [1]", "!!bool maybe", "? [a]", "<<", ".inf",
    "1:60:60", "0o9", "0000-00-00", "\t", "%YAML 9", "---", "...", "!<a>", "@", "`",
]  # fmt: skip
TEXTS = [
    *NUMBERS, "", " ", "\n", "\r", "\x00", "\ud800", "\ufeff", "\u2028", '"', '""', "a" * 5000, "1,000", "1.5", "-1",
    "nan", "none", "yes", "2024-13-45", "=1/0", "#N/A", "{concept}", "[MASK]", "|", "||", "a|a", "\u200b", "𝟏", "²",
    "all", "several", "😀",
]  # fmt: skip
CELLS: list[Any] = [
    *TEXTS, None, True, 3, 3.0, 1e300, 10**20, datetime(2024, 1, 1), datetime(2024, 1, 1, 12, 30), date(2024, 1, 1),
    time(1, 2), timedelta(days=400_000), "=A1", "=SUM(A1:A9)",
]  # fmt: skip
CHUNKS = [b"\xff", b"\x00", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"[", b"{", b'"', b"\n", b"\r", b",", b"\t",
          b"9" * 400, b"[" * 10_000, b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"PK\x03\x04", b"PAR1"]  # fmt: skip
WHOLE = [b"", b"\n", b"\x00" * 64, b"[" * 200_000, b"{" * 1000, b"null", b"[]", b"{}", b"1", b"PAR1" * 4, b"\x1f\x8b",
         b"\xff\xfe", b"\xef\xbb\xbf", b"\x28\xb5\x2f\xfd\x04", b"- " * 60_000, b"a: " * 1000]  # fmt: skip


def odd_columns(n: int) -> list[pa.Array]:
    """Return columns of so many rows that are no texts, or none that could be read."""
    far = [2**62] * n
    return [
        pa.array(far, pa.timestamp("ms")),
        pa.array([0] * n, pa.timestamp("ns", tz="Europe/Nowhere")),
        pa.array([0] * n, pa.timestamp("ms", tz="+01:30")),
        pa.array([2**31 - 1] * n, pa.date32()),
        pa.array([2**60] * n, pa.date64()),
        pa.array([1] * n, pa.time64("ns")),
        pa.array([2**40] * n, pa.time64("us")),
        pa.array(far, pa.duration("s")),
        pa.array([b"\xff"] * n, pa.binary()),
        pa.array([b"\xff"] * n, pa.binary()).view(pa.string()),
        pa.array([b"\xff"] * n, pa.large_binary()),
        pa.array([b"ab"] * n, pa.binary(2)),
        pa.array([1] * n, pa.decimal128(38, 3)),
        pa.array([1] * n, pa.decimal256(76, 3)),
        pa.array([["a"]] * n),
        pa.array([{"a": 1}] * n),
        pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64())),
        pa.array(["a"] * n).dictionary_encode(),
        pa.nulls(n),
        pa.array([True] * n),
        pa.array([2**64 - 1] * n, pa.uint64()),
        pa.array([float("nan")] * n, pa.float64()),
        pa.array([1e300] * n, pa.float64()),
        pa.array(["a"] * n, pa.large_string()),
    ]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each key of a mapping, and place of a list, with what it is in."""
    for key, inner in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from places(inner)


def mutate(content: Any, draw: random.Random, values: list[Any] = VALUES) -> None:
    """Change a mapping or list of plain values in one place."""
    known = list(places(content))
    if not known:
        return
    inside, key = draw.choice(known)
    value = copy.deepcopy(draw.choice(values))
    kind = draw.randrange(7)
    if kind <= 2:
        inside[key] = value
    elif kind == 3:
        del inside[key]
    elif kind == 4 and isinstance(inside, dict):
        inside[str(key)[:-1] + draw.choice("xX_\n ")] = inside.pop(key)
    elif kind == 5:
        inside[key] = draw.choice([[inside[key]], {"a": inside[key]}, str(inside[key]), [inside[key], inside[key]]])
    else:
        # What stands in quite another place.
        other, there = draw.choice(known)
        inside[key] = copy.deepcopy(other[there])


# ---------------------------------------------------------------------------------------------- how files are written

Grid = list[list[Any]]
"""A header, and rows of cells."""


def as_json(content: Any) -> bytes:
    """Return a value as JSON, what is ``Raw`` in it as it is."""
    raws: list[str] = []

    def marked(value: Any) -> Any:
        if isinstance(value, Raw):
            raws.append(value)
            return f"@raw{len(raws) - 1}@"
        if isinstance(value, dict):
            return {str(key): marked(inner) for key, inner in value.items()}
        return [marked(inner) for inner in value] if isinstance(value, list) else value

    text = json.dumps(marked(content), default=str)
    for number, raw in enumerate(raws):
        text = text.replace(f'"@raw{number}@"', raw)
    return text.encode("utf-8", "surrogatepass")


def as_lines(records: Any) -> bytes:
    """Return values as JSON, one a line."""
    return b"".join(as_json(record) + b"\n" for record in records) if isinstance(records, list) else as_json(records)


def _objects(grid: Grid) -> list[dict[str, Any]]:
    return [dict(zip(map(str, grid[0]), row, strict=False)) for row in grid[1:]] if grid else []


def _delimited(grid: Grid, delimiter: str) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter).writerows(grid)
    return stream.getvalue().encode("utf-8", "surrogatepass")


def _xlsx(grid: Grid) -> bytes:
    book = openpyxl.Workbook()
    for number, row in enumerate(grid, 1):
        for place, value in enumerate(row, 1):
            try:
                book.active.cell(number, place).value = value
            except (ValueError, IllegalCharacterError):
                # No workbook holds it.
                book.active.cell(number, place).value = ascii(value)
    stream = io.BytesIO()
    try:
        book.save(stream)
    except UnicodeEncodeError:  # half a character
        return b"PK"
    return _timeless(stream)


def _timeless(stream: io.BytesIO) -> bytes:
    """Return a workbook without the time at which it was written: equal draws shall give equal bytes."""
    timeless = io.BytesIO()
    with zipfile.ZipFile(stream) as book, zipfile.ZipFile(timeless, "w") as copied:
        for name in book.namelist():
            data = re.sub(rb"20\d\d-\d\d-\d\dT[\d:.]+Z", b"2024-01-01T00:00:00Z", book.read(name))
            copied.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return timeless.getvalue()


def _parquet(grid: Grid, draw: random.Random | None) -> bytes:
    names, rows = [ascii(name) if "\ud800" in str(name) else str(name) for name in grid[0]], grid[1:]
    columns = [
        pa.array([None if place >= len(row) or row[place] is None else ascii(row[place])[1:-1] for row in rows])
        for place in range(len(names))
    ]
    if draw is not None and columns:
        columns[draw.randrange(len(columns))] = draw.choice(odd_columns(len(rows)))
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, names=names), stream)
    return stream.getvalue()


def as_table(grid: Grid, suffix: str, draw: random.Random | None = None) -> bytes:
    """Return a table in the format of a suffix; a column of a Parquet file is an odd one, where one is drawn."""
    plain = suffix.removesuffix(".gz").removesuffix(".zst")
    if plain == ".parquet":
        return _parquet(grid, draw) if grid else b""
    if plain == ".xlsx":
        return _xlsx(grid)
    if plain == ".json":
        data = as_json(_objects(grid))
    elif plain in (".jsonl", ".ndjson"):
        data = as_lines(_objects(grid))
    else:
        data = _delimited(grid, "\t" if plain == ".tsv" else ",")
    return packed(data, suffix)


def packed(data: bytes, suffix: str) -> bytes:
    """Return bytes as a file of this suffix holds them."""
    if suffix.endswith(".gz"):
        return gzip.compress(data, mtime=0)
    return zstandard.ZstdCompressor().compress(data) if suffix.endswith(".zst") else data


# ------------------------------------------------------------------------------------------------------------- mutants


def mutate_bytes(data: bytes, draw: random.Random) -> bytes:
    """Change bytes in one place, cut them off, or put others in the place of all of them."""
    start = draw.randrange(len(data) + 1)
    end = min(len(data), start + draw.choice([1, 2, 5, 20, 100]))
    kind = draw.randrange(6)
    if kind == 0:
        return data[:start]
    if kind == 1:
        return data[:start] + draw.choice(CHUNKS) + data[start:]
    if kind == 2:
        return data[:start] + data[end:]
    if kind == 3:
        return data[:start] + bytes([draw.randrange(256)]) + data[start + 1 :]
    return data[:start] + data[start:end] * 2 + data[end:] if kind == 4 else draw.choice(WHOLE)


def mutate_grid(grid: Grid, draw: random.Random, suffix: str) -> None:
    """Change a table in one place."""
    if draw.randrange(8) == 0:
        row = draw.choice(grid) if grid else []
        kind = draw.randrange(4)
        if kind == 0 and grid:
            grid.remove(row)
        elif kind == 1:
            grid.append(list(row))
        elif kind == 2 and row:
            row.pop()
        else:
            row.append("a")
        return
    values = {".xlsx": CELLS, ".json": [*VALUES, *map(Raw, RAWS)], ".jsonl": [*VALUES, *map(Raw, RAWS)]}
    row = draw.choice([row for row in grid if row] or [["a"]])
    place = draw.randrange(len(row))
    other = draw.choice(grid[1:] or grid or [row])
    row[place] = draw.choice([draw.choice(values.get(suffix, TEXTS)), other[place % len(other)] if other else ""])


Content = Mapping[str, Any]
"""Name of a file → what is in it: bytes; text; a ``Grid`` of a table; or a value of JSON or YAML."""


def write(folder: Path, name: str, content: Any, draw: random.Random | None = None) -> Path:
    """Write a file, and change something in it if ``draw`` is given."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(path.suffixes[-2:]) if path.suffix in (".gz", ".zst") else path.suffix
    by_structure = draw is not None and not isinstance(content, bytes | str) and draw.randrange(3) > 0
    data = _rendered(content, suffix, draw if by_structure else None)
    if draw is not None and not by_structure:
        data = mutate_bytes(data, draw)
    path.write_bytes(data)
    return path


def _rendered(content: Any, suffix: str, draw: random.Random | None) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return packed(content.encode("utf-8", "surrogatepass"), suffix)
    content = copy.deepcopy(content)
    is_grid = isinstance(content, list) and all(isinstance(row, list) for row in content)
    for _ in range(draw.randint(1, 3) if draw is not None else 0):
        assert draw is not None
        if is_grid:
            mutate_grid(content, draw, suffix)
        else:
            mutate(content, draw, [*VALUES, *map(Raw, RAWS)])
    if is_grid:
        return as_table(content, suffix, draw if draw is not None and draw.randrange(2) else None)
    return packed(as_lines(content) if suffix.startswith((".jsonl", ".ndjson")) else as_json(content), suffix)


def each_of(n: int, name: str, check: Callable[[random.Random], None]) -> None:
    """Make a check with so many draws, the same ones each time; the smallest that fails is shown.

    Not ``derandomize``, by which all checks would have the same draws: these are of the name.
    """

    @seed(zlib.crc32(name.encode()))
    @settings(max_examples=n, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def made(draw: random.Random) -> None:
        check(draw)

    made()
