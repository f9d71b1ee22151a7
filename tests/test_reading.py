"""What a stranger wrote is read within limits: one line, at once, in little memory."""

from __future__ import annotations

import gzip
import json
import os
import resource
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from leakscope.configuration.checks import study_checks
from leakscope.errors import InputError, Mistakes
from leakscope.features.dictionaries.texts import read_texts as read_corpus_texts
from leakscope.files import corpora, reading, tables
from leakscope.files.corpora import read_texts
from leakscope.files.reading import LONGEST_LINE, check_regular, parse_json, read_json, read_object, read_utf8
from leakscope.files.reading_yaml import LARGEST_YAML, parse_yaml, read_yaml
from leakscope.files.row_counts import count_rows
from leakscope.files.tables import MOST_CELLS, read_rows, read_table
from leakscope.similarity.encoders import hash_encoder
from leakscope.storage.manifests import check_model_folder, describe_folder, hash_files, weight_files

pytestmark = pytest.mark.timeout(30)
LITTLE = 1_500_000_000


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """Let a test that would fill the machine fail instead."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + LITTLE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refusal(read: Callable[[], object]) -> str:
    """Return the one line that something is refused with."""
    with pytest.raises(InputError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def endless(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def nowhere(path: Path) -> Path:
    path.symlink_to("/nowhere/at/all")
    return path


KINDS = {endless: "a device", fifo: "a FIFO", nowhere: "a link to nothing"}


@pytest.mark.parametrize(("make", "kind"), KINDS.items())
@pytest.mark.parametrize(
    "read",
    [
        check_regular,
        read_utf8,
        read_yaml,
        lambda path: read_json(path, "JSON"),
        lambda path: hash_files([path]),
        lambda path: describe_folder(path.parent, "local"),
        lambda path: hash_encoder(path.parent),
    ],
)
def test_only_regular_files_are_opened(tmp_path: Path, make: Callable, kind: str, read: Callable) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    path = make(tmp_path / "model.safetensors")
    assert refusal(lambda: read(path)) == f"{path}: got {kind}; allowed: a regular file."


@pytest.mark.parametrize(("make", "kind"), [(endless, "a device"), (fifo, "a FIFO")])
def test_a_table_that_is_no_regular_file_is_not_opened(tmp_path: Path, make: Callable, kind: str) -> None:
    for name in ("t.csv", "t.xlsx", "t.parquet", "t.jsonl"):
        path = make(tmp_path / name)
        assert f"got {kind}; allowed: a regular file" in refusal(lambda path=path: read_table(path))
        assert count_rows(path) == 0
    assert f"got {kind}" in refusal(lambda: read_rows(tmp_path / "t.csv"))


def refused(config: dict) -> None:
    """Make all checks of a study."""
    mistakes = Mistakes()
    mistakes.run(study_checks(config))
    mistakes.end()


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.model", "anything"])
def test_a_model_folder_is_looked_at_before_a_run_is_planned(tmp_path: Path, make: Callable, name: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    make(tmp_path / name)
    config = {
        "study": {"models": ["m"], "scorers": [], "prompt_sets": [], "steps": []},
        "models": {"m": {"source": "local", "path": str(tmp_path), "gguf_file": None, "label": "m"}},
        "organisms": {"sizes": {}},
        "features": {"explainers": {}},
        "ground": {"axes": {}},
        "mitigations": {},
        "trace": {"mitigations": []},
        "rating": {"ratings": []},
        "figures": {"style": None, "font": {"family": None}},
    }
    assert f"{tmp_path / name}: got a" in refusal(lambda: refused(config))
    config["models"]["m"]["source"] = "scores"
    config["study"]["scorers"], config["scorers"] = ["s"], {"s": {"kind": "bert_score", "model": str(tmp_path)}}
    assert f"{tmp_path / name}: got a" in refusal(lambda: refused(config))


@pytest.mark.parametrize("make", [endless, fifo])
def test_the_folders_inside_a_model_folder_are_looked_at_too(tmp_path: Path, make: Callable) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "model"
    (elsewhere / "pooling").mkdir(parents=True)
    folder.mkdir()
    (folder / "1_Pooling").symlink_to(elsewhere)
    (elsewhere / "around").symlink_to(folder)
    nowhere(elsewhere / "last-run")  # of programs that log a training; nothing reads it
    check_model_folder(folder)
    make(elsewhere / "pooling/config.json")
    assert f"{folder}/1_Pooling/pooling/config.json: got a" in refusal(lambda: check_model_folder(folder))


def test_a_model_folder_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakscope.storage.manifests.MOST_FILES", 2)
    for name in ("a", "b"):
        (tmp_path / name).touch()
    check_model_folder(tmp_path)
    (tmp_path / "c").touch()
    expected = f"{tmp_path}: got more than 2 files; allowed: a folder of one model."
    assert refusal(lambda: check_model_folder(tmp_path)) == expected


@pytest.mark.parametrize(
    ("index", "part"),
    [
        ({"metadata": {}, "weight_map": {"w": "/dev/zero"}}, "'/dev/zero' for 'w'"),
        ({"metadata": {}, "weight_map": {"w": "../b.safetensors"}}, "'../b.safetensors' for 'w'"),
        ({"metadata": {}, "weight_map": {"w": "lost.safetensors"}}, "'lost.safetensors' for 'w'"),
        ({"metadata": {}, "weight_map": {"w": "a\0"}}, "for 'w'"),
        ({"metadata": {}, "weight_map": {"w": "inside"}}, "got a folder"),
        ({"metadata": {}, "weight_map": {"w": 1}}, "1 for 'w'"),
        ({"metadata": {}, "weight_map": ["a"]}, "no object 'weight_map'"),
        ({"weight_map": {}}, "no object 'metadata'"),
        ([], "a JSON list"),
    ],
)
def test_a_list_of_weights_names_regular_files_beside_it(tmp_path: Path, index: object, part: str) -> None:
    folder = tmp_path / "model"
    (folder / "inside").mkdir(parents=True)
    (tmp_path / "b.safetensors").touch()
    (folder / "a.safetensors").symlink_to(tmp_path / "b.safetensors")  # so the hub's cache is made
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": {"w": "a.safetensors"}}))
    check_model_folder(folder)
    assert weight_files(folder) == [folder / "a.safetensors"]
    path.write_text(json.dumps(index))
    assert part in refusal(lambda: check_model_folder(folder))


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    os.truncate(path, 10**12)  # takes no place on disk
    assert refusal(lambda: read_table(path)) == f"{path}: got 1,000,000 MB; allowed: at most 1,000 MB."


# JSON and YAML


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_json_that_is_nested_too_deep_is_one_line(text: str) -> None:
    expected = "f: got invalid JSON (lists and objects nested too deep); allowed: JSON."
    assert refusal(lambda: parse_json(text, "f", "JSON")) == expected


def test_a_number_too_long_for_python_is_one_line() -> None:
    assert refusal(lambda: parse_json("9" * 5000, "f", "JSON")).startswith("f: got invalid JSON (Exceeds the limit")


def test_json_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cfg.json"
    path.write_text("[1]")
    expected = f"{path}: got a JSON list; allowed: settings of a dictionary."
    assert refusal(lambda: read_object(path, "settings of a dictionary")) == expected


def test_packed_json_is_read_and_no_more_of_it_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "items.json.gz"
    path.write_bytes(gzip.compress(b'{"a": "\xc3\xa9"}'))
    assert read_json(path, "JSON") == {"a": "é"}
    path.write_bytes(gzip.compress(b" " * (reading.LARGEST_PACKED + 1), 1))
    assert (
        refusal(lambda: read_json(path, "JSON")) == f"{path}: got more than 100 MB, unpacked; allowed: at most 100 MB."
    )


def laughs(lines: int, start: str = "x") -> str:
    """Return a text of lists that stand for 9 to the power of ``lines`` values."""
    return f"a0: &a0 [{start}]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, lines + 1)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # 9 + 9² + … + 9⁵ are less than a million, with 9⁶ they are more.
        (
            laughs(20),
            "f, line 7: got more than 1,000,000 values, including those of aliases; allowed: at most 1,000,000.",
        ),
        ("[" * 100_000, "f, line 1: got more than 50 lists or mappings inside each other; allowed: at most 50."),
        ("{a: " * 100_000, "f, line 1: got more than 50 lists or mappings inside each other; allowed: at most 50."),
        ("- " * 100_000, "f, line 1: got more than 50 lists or mappings inside each other; allowed: at most 50."),
        (
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000)),
            "f, line 50: got more than 50 lists or mappings inside each other; allowed: at most 50.",
        ),
        ("a: &a [*a]", "f, line 1: got *a inside the value that it names; allowed: an alias outside this value."),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "f, line 4: got the key 'c' twice; allowed: each key once."),
        ("a: *b", "f, line 1: got invalid YAML (found undefined alias); allowed: YAML."),
        ("a: 2024-13-45", "f: got invalid YAML (month must be in 1..12); allowed: YAML."),
        ("a: !!bool maybe", "f: got invalid YAML ('maybe'); allowed: YAML."),
        ("? [a]\n: b", "f, line 1: got invalid YAML (found unhashable key); allowed: YAML."),
        ("a: !!python/name:os.system", "f, line 1: got invalid YAML (could not determine a constructor for the tag"),
        ("", "f: got an empty file; allowed: YAML."),
    ],
)
def test_yaml_that_is_larger_or_deeper_than_it_looks_is_one_line(text: str, expected: str) -> None:
    assert refusal(lambda: parse_yaml(text, "f")).startswith(expected)


def test_aliases_that_repeat_a_little_are_allowed() -> None:
    text = "a: &a {x: 1}\nb: [*a, *a]\nc: {<<: *a, y: &y text}\nd: *y\n"
    assert parse_yaml(text, "f") == {"a": {"x": 1}, "b": [{"x": 1}] * 2, "c": {"x": 1, "y": "text"}, "d": "text"}


def test_as_many_lists_inside_each_other_as_allowed_are_read() -> None:
    assert str(parse_yaml("[" * 50 + "]" * 50, "f")) == "[" * 50 + "]" * 50
    refusal(lambda: parse_yaml("[" * 51 + "]" * 51, "f"))


def test_a_huge_yaml_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "templates.yaml"
    path.touch()
    os.truncate(path, LARGEST_YAML + 1)
    assert refusal(lambda: read_yaml(path)) == f"{path}: got 10 MB; allowed: at most 10 MB."


# Tables


def workbook(path: Path, **cells: str) -> Path:
    book = openpyxl.Workbook()
    for place, text in cells.items():
        book.active[place] = text
    book.save(path)
    return path


def test_one_cell_at_the_end_of_a_sheet_is_no_table_of_seventeen_billion(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", A1="prompt", XFD1048576="x")
    expected = f"{path}: got 1,048,576 rows of 16,384 columns; allowed: at most 50,000,000 cells."
    assert refusal(lambda: read_table(path)) == expected


def test_a_row_behind_the_last_of_any_sheet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_OF_A_SHEET", 3)
    assert len(read_table(workbook(tmp_path / "t.xlsx", A1="prompt", A3="x"))) == 1
    path = workbook(tmp_path / "u.xlsx", A1="prompt", A4="x")
    assert (
        refusal(lambda: read_table(path))
        == f"{path}: got more than 3 rows; allowed: at most as many as an XLSX sheet holds."
    )


def test_empty_rows_and_columns_of_a_sheet_are_as_they_were(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", A1="prompt", B1="text", A3="x", B4="y")
    assert read_table(path).to_numpy().tolist() == [["", ""], ["x", ""], ["", "y"]]
    one = workbook(tmp_path / "u.xlsx", A1="prompt", A3="x")
    assert read_table(one).to_numpy().tolist() == [["x"]]


def test_a_workbook_that_unpacks_to_more_than_allowed_is_not_unpacked(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", A1="prompt", A2="x")
    archive = zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("xl/more.xml", "w") as stream:
        for _ in range(251):
            stream.write(bytes(10**6))
    assert path.stat().st_size < 3 * 10**6
    assert refusal(lambda: read_table(path)) == (
        f"{path}: got 251 MB, unpacked; allowed: at most 250 MB, or the table as CSV."
    )
    assert count_rows(path) == 0


def test_rows_that_a_parquet_file_only_says_it_has_are_not_made(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": pa.nulls(MOST_CELLS + 1)}), path)
    expected = f"{path}: got 50,000,001 rows of 1 columns; allowed: at most 50,000,000 cells."
    assert refusal(lambda: read_table(path)) == expected
    assert count_rows(path) == 0


def test_one_long_text_in_many_rows_of_a_parquet_file_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LARGEST_FILE", 100 * tables.MEGABYTE)
    path = tmp_path / "t.parquet"
    rows = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), ["x" * 200_000])
    pq.write_table(pa.table({"a": rows}), path)  # 4 GB in 10 kB
    assert path.stat().st_size < 20_000
    assert refusal(lambda: read_table(path)) == f"{path}: got more than 100 MB, unpacked; allowed: at most 100 MB."
    some = read_corpus_texts(path, "a")
    assert len(next(some)) == 200_000


def test_a_column_of_a_dictionary_is_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode(), "b": [1, 2, 3]}), path)
    assert read_table(path).to_dict("list") == {"a": ["x", "y", "x"], "b": ["1", "2", "3"]}


def test_json_lines_with_keys_of_their_own_are_no_table_of_their_square(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({f"k{i}": 1}) + "\n" for i in range(7072)))  # 7072² > 50 million
    expected = f"{path}: got 7,072 rows of 7,072 columns; allowed: at most 50,000,000 cells."
    assert refusal(lambda: read_table(path)) == expected


# Corpora


def packed(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data, 1)
    return zstandard.compress(data) if suffix == ".zst" else data


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_line_without_an_end_is_not_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"c.jsonl{suffix}"
    path.write_bytes(packed(b'{"text": "a"}\n' + b" " * (LONGEST_LINE + 1), suffix))
    texts = read_texts(path, "text")
    assert next(texts).text == "a"
    assert refusal(lambda: next(texts)) == f"{path}: got a line of more than 50 MB; allowed: at most 50 MB."


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_line_as_long_as_allowed_is_read(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = b'{"text": "abc"}\n'
    monkeypatch.setattr(corpora, "LONGEST_LINE", len(line))
    path = tmp_path / f"c.jsonl{suffix}"
    path.write_bytes(packed(line * 3, suffix))
    assert [text for text, _ in read_texts(path, "text")] == ["abc"] * 3
