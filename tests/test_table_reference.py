"""docs/tables.md against the code that writes the tables and against results that a study wrote."""

from __future__ import annotations

import csv
import re
from importlib import import_module
from pathlib import Path

import pytest

from leakscope.configuration.table_reference import ResultColumn, ResultFile, ResultTable, read_parts, tables_page
from workspace import Workspace

PARTS = read_parts()
TABLES = [table for part in PARTS for table in part.tables]
FILES = [file for table in TABLES for file in table.files]
# Tables that the page describes in the words of another one.
ALIKE = {
    "leak_rates_by_control.csv": "leak_rates.csv",
    "prompts/<prompt_set>.csv": "prompts/<prompt_set>.parquet",
    "generations/<model>/<prompt_set>.csv": "generations/<model>/<prompt_set>.parquet",
}


def written_columns(constants: list[str]) -> list[str]:
    """Return the names in some lists of columns, each once."""
    found = [getattr(import_module(module), name) for module, _, name in (path.rpartition(".") for path in constants)]
    return list(dict.fromkeys(name for names in found for name in names))


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


@pytest.mark.parametrize("table", [table for table in TABLES if table.code], ids=lambda table: table.title)
def test_a_table_has_the_columns_that_the_code_writes(table: ResultTable) -> None:
    assert sorted(table.names) == sorted(written_columns(table.code))


@pytest.mark.parametrize("file", [file for file in FILES if file.code], ids=lambda file: file.file)
def test_a_line_names_the_columns_that_the_code_writes(file: ResultFile) -> None:
    assert set(written_columns(file.code)) <= {*file.key, *quoted(file.content)}


def test_no_column_and_no_table_is_described_twice() -> None:
    for table in TABLES:
        assert len(table.described) == len(set(table.described)), table.title
    for part in PARTS:
        titles = [table.title for table in part.tables]
        assert len(titles) == len(set(titles)), part.title


def test_a_bar_in_a_cell_ends_no_cell() -> None:
    assert r"mean of p / e weighted by \|e\|" in tables_page()
    assert ResultColumn(meaning="a | b").unit is None


@pytest.mark.workflow
def test_the_tables_of_a_study_are_described(finished: Workspace) -> None:
    results = finished.folder / "results/micro"
    described = {name: table for table in TABLES for name in quoted(table.title)}
    known = {re.sub(r"<\w+>", "[^/]+", name): name for name in [*described, *(file.file for file in FILES)]}
    headers = {path.relative_to(results).as_posix(): header(path) for path in results.rglob("*.csv")}
    assert "match_rates.csv" in headers
    for name, columns in headers.items():
        entry = next((written for pattern, written in known.items() if re.fullmatch(pattern, name)), "")
        assert entry, f"{name}: schemas/tables has no such table"
        tables = [described[one] for one in (entry, ALIKE.get(entry)) if one in described]
        assert columns <= {column for table in tables for column in table.names}, name


def header(path: Path) -> set[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return set(next(csv.reader(file)))
