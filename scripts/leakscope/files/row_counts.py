"""How large a table of a person is, without reading it: Snakemake asks each time it builds its graph."""

from __future__ import annotations

from pathlib import Path

from leakscope.files.reading import check_regular
from leakscope.files.tables import MOST_CELLS, check_workbook


def count_rows(path: Path) -> int:
    """Return about how many rows a table of a person has, without reading its cells; 0 if it cannot be read.

    Line breaks inside cells count as rows.
    """
    try:
        check_regular(path)
        if path.suffix.lower() == ".parquet":
            from pyarrow import parquet

            return _plausible(parquet.ParquetFile(path).metadata.num_rows)
        if path.suffix.lower() == ".xlsx":
            from openpyxl import load_workbook

            check_workbook(path)
            return _plausible(load_workbook(path, read_only=True).active.max_row or 0)
        with path.open("rb") as stream:
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(2**20), b""))
    except Exception:  # whatever is wrong with the file is said by who reads it
        return 0


def _plausible(n_rows: int) -> int:
    """Return a number of rows that a file says of itself; 0 if it is too large to be read."""
    return int(n_rows) if n_rows <= MOST_CELLS else 0
