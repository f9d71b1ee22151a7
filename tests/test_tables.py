from __future__ import annotations

import gzip
import json
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
import zstandard

from leakscope.errors import InputError
from leakscope.files.names import TEXTS
from leakscope.files.tables import read_csv, read_first_rows, read_rows, read_table, read_tables, write_csv, write_table

ROWS = [
    ["a", "None", "NA"], ["b", " é ", ""], ["1.0", "nan", 'say "x", y'], ["007", "1e5", "null"],
    ["2024-01-01", "3.10", "True"], ["0x10", "Inf", "1_000"],
]  # fmt: skip
COLUMNS = ["name", "first", "second"]


def save(path: Path) -> Path:
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    if path.suffix == ".xlsx":
        frame.to_excel(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def refusal(path: Path, sheet: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_table(path, sheet)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "got" in message
    assert "allowed" in message
    return message


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".jsonl", ".parquet", ".CSV"])
def test_every_format_gives_the_same_text(tmp_path: Path, suffix: str) -> None:
    table = read_table(save(tmp_path / f"table{suffix}"))
    assert list(table) == COLUMNS
    assert table.to_numpy().tolist() == ROWS
    assert set(table.dtypes.astype(str)) == {"str"}


def test_numbers_and_gaps_of_a_spreadsheet_are_text(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    pd.DataFrame({"n": [0.0, None, 2.0], "x": [1.5, 2.5, None], "b": [True, False, True]}).to_excel(path, index=False)
    table = read_table(path)
    assert table["n"].tolist() == ["0", "", "2"]
    assert table["x"].tolist() == ["1.5", "2.5", ""]
    assert table["b"].tolist() == ["TRUE", "FALSE", "TRUE"]


def test_a_name_that_a_spreadsheet_takes_for_a_date_is_the_date(tmp_path: Path) -> None:
    days = [datetime(2024, 1, 1), datetime(2024, 1, 1, 12, 30)]
    pd.DataFrame({"model": days}).to_excel(tmp_path / "t.xlsx", index=False)
    assert read_table(tmp_path / "t.xlsx")["model"].tolist() == ["2024-01-01", "2024-01-01 12:30:00"]


def test_types_of_json_and_parquet_become_text(tmp_path: Path) -> None:
    lines = tmp_path / "t.jsonl"
    lines.write_text('{"a": 1, "b": null}\n\n{"a": 0.5, "c": "\\u2028x"}\n', encoding="utf-8")
    assert read_table(lines).to_dict("list") == {"a": ["1", "0.5"], "b": ["", ""], "c": ["", "\u2028x"]}
    parquet = tmp_path / "t.parquet"
    pd.DataFrame({"i": [1, 2], "f": [0.0, np.nan], "s": ["x", None]}).to_parquet(parquet)
    assert read_table(parquet).to_dict("list") == {"i": ["1", "2"], "f": ["0.0", ""], "s": ["x", ""]}


def test_a_named_sheet_is_read_else_the_first(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"a": ["1"]}).to_excel(book, sheet_name="one", index=False)
        pd.DataFrame({"a": ["2"]}).to_excel(book, sheet_name="two", index=False)
    assert read_table(path)["a"].tolist() == ["1"]
    assert read_table(path, "two")["a"].tolist() == ["2"]
    assert "Did you mean 'two'?" in refusal(path, "tow")


def test_byte_order_mark_line_ends_and_line_breaks_in_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes('\ufeff a ,b\r\n"x\ny",1\r\n\r\n,\r\n'.encode())
    assert read_table(path).to_dict("list") == {"a": ["x\ny"], "b": ["1"]}


def test_a_column_without_name_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",a\n0,x\n", encoding="utf-8")
    assert list(read_table(path)) == ["Unnamed: 0", "a"]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("t.csv", b"a,b\nx,\xff\n", ["UTF-8", "line 2", "offset 6", "0xff"]),
        ("t.jsonl", b'{"a": "\xff"}', ["UTF-8", "line 1"]),
        ("t.csv", b"a,b\nx,y\nx\n", ["row 3", "got 1 field", "2"]),
        ("t.csv", b"a,b\nx,y,z\n", ["row 2", "got 3 fields"]),
        ("t.csv", b'a,b\n"x,y\n', ["line 2", "double quotes"]),
        ("t.csv", b"a,a\nx,y\n", ["'a' twice"]),
        ("t.csv", b"", ["an empty table"]),
        ("t.csv", b"a,b\n", ["an empty table", "at least one row"]),
        ("t.tsv", b"a\tb\n\t\n", ["an empty table"]),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', ["line 2", "invalid JSON"]),
        ("t.jsonl", b'{"a": 1}\n[1]\n', ["line 2", "JSON list"]),
        ("t.jsonl", b'{"a": ["x"]}\n', ["only lists or objects"]),
        ("t.jsonl", b'{"a": "\\ud83d"}\n', ["line 1", "'a'", "surrogate"]),
        ("t.jsonl", b"\n", ["an empty table"]),
        ("t.xlsx", b"no spreadsheet", ["cannot be opened", "XLSX"]),
        ("t.xlsx", b"PK\x03\x04 half a file", ["cannot be opened", "XLSX"]),
        ("t.parquet", b"no parquet", ["Parquet"]),
        ("t.txt", b"a\nb\n", ["plain text", ".csv, .tsv, .xlsx, .json, .jsonl, .ndjson, .parquet"]),
        ("t", b"a\nb\n", ["the suffix ''"]),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str, content: bytes, parts: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name)
    for part in parts:
        assert part in message


def test_a_wide_header_takes_no_more_than_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    header = ",".join(f"c{i}" for i in range(20_000))
    path.write_text(f"{header}\n{header}\n", encoding="utf-8")
    began = time.monotonic()
    assert len(read_rows(path)[0]) == 20_000
    assert time.monotonic() - began < 3


def test_a_spreadsheet_without_rows_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a": []}).to_excel(tmp_path / "t.xlsx", index=False)
    assert "an empty table" in refusal(tmp_path / "t.xlsx")
    pd.DataFrame().to_excel(tmp_path / "u.xlsx", index=False)
    assert "an empty table" in refusal(tmp_path / "u.xlsx")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "got a folder" in refusal(tmp_path / "folder.csv")


def test_a_sheet_of_another_format_is_refused(tmp_path: Path) -> None:
    assert "'one'" in refusal(save(tmp_path / "t.csv"), "one")


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "json"])
def test_a_column_of_lists_is_left_out_and_said(tmp_path: Path, suffix: str) -> None:
    frame, path = pd.DataFrame({"a": ["x", "z"], "b": [["y"], None]}), tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=suffix == "jsonl")
    table = read_table(path)
    assert table.to_dict("list") == {"a": ["x", "z"]}
    assert list(table.attrs["nested"]) == ["b"]


TABLE = "a;b\n1;x,y\n2;z\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", TABLE.encode()),
        ("t.csv", TABLE.encode("utf-16")),
        ("t.csv", b"\xef\xbb\xbf" + TABLE.encode()),
        ("t.csv", TABLE.replace(";", "\t").encode()),
        ("t.csv", TABLE.replace(";", "|").encode("utf-32")),
        ("t.csv", b"sep=;\r\n" + TABLE.encode()),
        ("t.tsv", TABLE.encode()),
        ("t.tsv", b'a,b\n1,"x,y"\n2,z\n'),
        ("t.csv", b'a,b\n1,"x,y"\n2,z\n'),
        ("t.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
        ("t.tsv.zst", zstandard.compress(TABLE.replace(";", "\t").encode())),
        ("t.json", b'[{"a": 1, "b": "x,y"}, {"a": 2, "b": "z"}]'),
        ("t.jsonl", b'[{"a": 1, "b": "x,y"}, {"a": 2, "b": "z"}]'),
        ("t.ndjson", b'{"a": 1, "b": "x,y"}\n{"a": 2, "b": "z"}\n'),
        ("t.jsonl.gz", gzip.compress(b'{"a": 1, "b": "x,y"}\n{"a": 2, "b": "z"}\n', mtime=0)),
        ("t.json.zst", zstandard.compress(b'[{"a": 1, "b": "x,y"}, {"a": 2, "b": "z"}]')),
    ],
)
def test_a_table_is_read_however_it_is_written(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_table(tmp_path / name).to_dict("list") == {"a": ["1", "2"], "b": ["x,y", "z"]}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("t.ods", "OpenDocument"),
        ("t.xls", "old Excel"),
        ("t.xlsm", "macros"),
        ("t.pkl", "a pickle"),
        ("t.csv.bz2", "bzip2"),
        ("t.csv.zip", "ZIP"),
    ],
)
def test_what_is_not_read_is_named_and_said_how_to_save(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    assert what in refusal(tmp_path / name)


def test_of_a_workbook_whose_first_sheet_is_empty_the_others_are_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["some notes"])
    book.create_sheet("Data").append(["a", "b"])
    book.save(tmp_path / "t.xlsx")
    assert "got no row in the sheet 'Sheet'" in refusal(tmp_path / "t.xlsx")
    assert "another sheet in the key `sheet`: Data" in refusal(tmp_path / "t.xlsx")


def test_rows_are_counted_as_a_spreadsheet_counts_them(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n"x\ny",1\n\n\nz,2\n')
    assert list(read_table(tmp_path / "t.csv").index) == [2, 5]
    (tmp_path / "t.jsonl").write_text('{"a": 1, "b": 2}\n\n{"a": null, "b": 3}\n')
    table = read_table(tmp_path / "t.jsonl")
    assert (list(table.index), table.attrs["missing"]) == ([1, 3], {(3, "a")})
    book = openpyxl.Workbook()
    for row in (["a", "b"], ["x", "1"], [None, None], ["y", "2"]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    assert list(read_table(tmp_path / "t.xlsx").index) == [2, 3, 4]


FRAME = pd.DataFrame({"model": ["a", None], "rate": [200 / 3, np.nan], "n": [2, 3], "ok": [True, False]})


def test_equal_tables_give_equal_bytes_and_come_back(tmp_path: Path) -> None:
    write_table(FRAME, tmp_path / "new/a.parquet")
    write_table(FRAME.copy(), tmp_path / "new/b.parquet")
    assert (tmp_path / "new/a.parquet").read_bytes() == (tmp_path / "new/b.parquet").read_bytes()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "new/a.parquet"), FRAME)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.parquet", "b.parquet"]


def test_csv_rounds_to_six_digits_and_leaves_gaps_empty(tmp_path: Path) -> None:
    write_csv(FRAME, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == b"model,rate,n,ok\na,66.666667,2,True\n,,3,False\n"


def test_csv_has_no_negative_zero_and_no_single_precision_digits(tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"x": np.array([-1e-9, 0.1], dtype="float32")}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "x\n0.0\n0.1\n"


def test_any_text_comes_back_from_csv(tmp_path: Path) -> None:
    texts = ["a\rb", 'a "b", c', "a\nb", "None", " é"]
    write_csv(pd.DataFrame({"text": texts, "n": [1, 2, 3, 4, 5]}), tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv")["text"].tolist() == texts


@pytest.mark.parametrize(
    "names",
    [
        ["007", "3.10", "1e5", None],
        ["NA", "null", "None", "nan"],
        ["True", "False", "true", None],
        ["Inf", "-inf", "1", "0x10"],
        ["2024-01-01", "2024-02-30", None, "2024-01-01 00:00:00"],
        [None, None, None, None],
    ],
)
def test_names_come_back_from_csv_as_text(names: list[str | None], tmp_path: Path) -> None:
    texts = {name: pd.Series(names, dtype="str") for name in TEXTS}
    table = pd.DataFrame({**texts, "n": [1, 2, 3, 4], "rate": [0.5, None, 1.0, 2.0], "ok": [True, False, True, True]})
    write_csv(table, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), table)


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old", encoding="utf-8")

    def half(self: pd.DataFrame, part: Path, **options: object) -> None:
        part.write_text("half", encoding="utf-8")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(OSError, match="disk full"):
        write_csv(FRAME, path)
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]
    assert path.read_text(encoding="utf-8") == "old"


def test_tables_are_read_below_each_other_with_their_types(tmp_path: Path) -> None:
    write_table(FRAME, tmp_path / "a.parquet")
    write_table(FRAME.iloc[:0], tmp_path / "empty.parquet")
    table = read_tables([tmp_path / "a.parquet", str(tmp_path / "empty.parquet"), tmp_path / "a.parquet"])
    pd.testing.assert_frame_equal(table, pd.concat([FRAME, FRAME], ignore_index=True))
    pd.testing.assert_frame_equal(read_tables(str(tmp_path / "a.parquet")), FRAME)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".csv.gz", ".jsonl.zst", ".parquet", ".xlsx"])
def test_the_first_rows_are_those_of_the_whole_table(tmp_path: Path, suffix: str) -> None:
    rows = [{"a": f"{i}", "b": "two\nlines, ü"} for i in range(6)]
    path, frame = tmp_path / f"t{suffix}", pd.DataFrame(rows)
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".xlsx":
        frame.to_excel(path, index=False)
    elif "csv" in suffix or "tsv" in suffix:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        frame.to_json(path, orient="records", lines=True)
    for n_rows in (4, 6, 9):
        first = read_first_rows(path, n_rows)
        assert first is not None
        pd.testing.assert_frame_equal(first, read_table(path).head(n_rows))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        # The fourth line ends behind byte 20, and so does the row that begins on the third.
        ("t.csv", 'a,b\n1,x\n2,"y\nyyyyyyyyyyyy"\n3,z\n', [["1", "x"]]),
        ("t.csv", "a,b\n1,ü\n2,üüüüüüüüüüüü\n", [["1", "ü"]]),
        ("t.jsonl", '{"a": "1"}\n{"a": "2"}\n', [["1"]]),
        ("t.json", '[{"a": "1"}, {"a": "2"}]', None),
        ("t.csv", "a,b\n1,xxxxxxxxxxxxxxxxxxxxxxx\n", None),
        ("t.csv", "a\r1\r2\r3\r4\r5\r6\r7\r8\r9\r10\r", None),
    ],
)
def test_no_more_of_a_large_table_is_read_than_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: list[list[str]] | None
) -> None:
    monkeypatch.setattr("leakscope.files.tables.BEGINNING", 20)
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    first = read_first_rows(tmp_path / name, 100)
    assert (None if first is None else first.to_numpy().tolist()) == expected


def test_a_mistake_in_the_beginning_of_a_large_table_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakscope.files.tables.BEGINNING", 20)
    path = tmp_path / "t.csv"
    for damaged in (
        b"a,b\n1,\xff\n2,xxxxxxxxxxxx\n",
        b'a,b\n1,"x"x\n2,xxxxxxxxxxxx\n',
        b"a,b\n1\n2,xxxxxxxxxxxxxxxx\n",
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"t\.csv.*got"):
            read_first_rows(path, 100)
