"""``docs/tables.md``: the meaning of every results table and column, generated from ``schemas/tables/``.

``reference`` writes the page. To describe a new column, add a line to the table's entry in the file of its step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field

from leakscope.files.finding import CHECKOUT
from leakscope.typed.reading import read_typed
from leakscope.typed.texts import Trimmed
from leakscope.typed.values import Section

FOLDER = "schemas/tables"
PARTS = ("general", "leak", "ground", "validate", "features", "trace", "between_rules")
"""The files of ``FOLDER``, in the order of the page; the first one heads it."""
WRITTEN = "<!-- Written from schemas/tables/ by `python -m leakscope.configuration.reference`. -->"

ColumnNames = Annotated[str, Field(pattern=r"^[^,\s]+(, [^,\s]+)*$", title="names with ', ' between them")]
Constant = Annotated[str, Field(pattern=r"^leakscope(\.\w+)+\.[A-Z_]+$", title="leakscope.module.CONSTANT")]


class ResultColumn(Section):
    """One column, or several that one line describes."""

    unit: Trimmed | None = None
    """Unit, range or type of the values."""
    meaning: Trimmed
    """What the value says, in Markdown."""


class ResultFile(Section):
    """A file that one line describes."""

    file: Trimmed
    """Its path relative to the step's folder."""
    key: list[Trimmed] = []
    """Columns that identify a row."""
    content: Trimmed
    """Other columns or keys, in Markdown."""
    code: list[Constant] = []
    """Lists of columns in the code: a test compares them with the names in `key` and `content`."""


class ResultTable(Section):
    """A section of the page: a table of results, or several files with the same columns."""

    title: Trimmed
    """Heading, in Markdown."""
    key: list[Trimmed] = []
    """Columns that identify a row."""
    about: Trimmed | None = None
    """Meaning of a row, and when the table is written."""
    columns: dict[ColumnNames, ResultColumn] = {}
    """Other columns."""
    values: dict[Trimmed, dict[ColumnNames, ResultColumn]] = {}
    """Column → meanings of its values, for columns whose values name different measures."""
    files: list[ResultFile] = []
    """Files that need one line each."""
    more: Trimmed | None = None
    """Text below the columns."""
    code: list[Constant] = []
    """Lists of columns in the code: a test compares them with `key` and `columns`."""

    @property
    def names(self) -> list[str]:
        """Names of all columns, those of the key first."""
        return list(dict.fromkeys([*self.key, *self.described]))

    @property
    def described(self) -> list[str]:
        """Names of the columns described in this table, which may be key columns."""
        return [name for names in self.columns for name in split_names(names)]


class ResultTables(Section):
    """schemas/tables/<step>.yaml: the results of a step, for docs/tables.md."""

    title: Trimmed
    """Heading, in Markdown."""
    about: Trimmed
    """Where the tables are, and what they have in common."""
    keys: dict[ColumnNames, ResultColumn] = {}
    """Columns with the same meaning in all tables of the step."""
    tables: list[ResultTable] = []
    """Tables, in the order of the page."""


def read_parts() -> list[ResultTables]:
    """Return the parts of the page, in order.

    Raises:
        InputError: as ``read_typed``.
    """
    return [read_typed(CHECKOUT / FOLDER / f"{part}.yaml", ResultTables) for part in PARTS]


def tables_page() -> str:
    """Return the Markdown of ``docs/tables.md``.

    Raises:
        InputError: as ``read_parts``.
    """
    first, *others = read_parts()
    blocks = [f"# {first.title}", WRITTEN, *_part(first)]
    for part in others:
        blocks += [f"## {part.title}", *_part(part)]
    return "\n\n".join(blocks) + "\n"


def split_names(names: str) -> list[str]:
    """Return the columns that one line describes."""
    return names.split(", ")


def _part(part: ResultTables) -> Iterator[str]:
    yield part.about
    if part.keys:
        yield _columns("key", part.keys)
    for table in part.tables:
        yield f"### {table.title}"
        yield from _table(table)


def _table(table: ResultTable) -> Iterator[str]:
    key = f"Key: `{', '.join(table.key)}`." if table.key else None
    if key or table.about:
        yield "\n".join(filter(None, (key, table.about)))
    if table.columns:
        yield _columns("column", table.columns)
    for column, values in table.values.items():
        yield _columns(column, values)
    if table.files:
        rows = ((_code([row.file]), _code(row.key), row.content) for row in table.files)
        yield _rows(["file", "key", "content"], rows)
    if table.more:
        yield table.more


def _columns(heading: str, columns: dict[str, ResultColumn]) -> str:
    """Return one row per line, with a column for units if there are any."""
    rows = [(_code(split_names(names)), column.unit or "", column.meaning) for names, column in columns.items()]
    if any(unit for _, unit, _ in rows):
        return _rows([heading, "unit", "meaning"], rows)
    return _rows([heading, "meaning"], ((names, meaning) for names, _, meaning in rows))


def _rows(heads: list[str], rows: Iterable[tuple[str, ...]]) -> str:
    cells = [tuple(heads), ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells)


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
