"""Approximate row counts of users' tables without parsing them; Snakemake needs them whenever it builds its graph."""

from __future__ import annotations

from pathlib import Path

from leakscope.files.reading import check_regular
from leakscope.files.tables import MOST_CELLS, check_workbook


def count_rows(path: Path) -> int:
    """Return the approximate number of rows of a user's table without parsing its cells; 0 if it cannot be read.

    In text files, line breaks inside cells count as rows.
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
    except Exception:  # errors of the file are reported when it is read
        return 0


def _plausible(n_rows: int) -> int:
    """Return the number of rows stated in a file's metadata; 0 if it is above the limit."""
    return int(n_rows) if n_rows <= MOST_CELLS else 0
