"""Corpora as shards of JSON lines, plain or compressed, or of Parquet, read as streams."""

from __future__ import annotations

import codecs
import glob
import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard

from leakscope.errors import InputError, one_of
from leakscope.files.normal_form import composed
from leakscope.files.reading import (
    LONGEST_LINE,
    check_regular,
    in_one_line,
    parse_json,
    unpack_frames,
    whole_characters,
)
from leakscope.jobs.progress import progress

# As The Pile, C4, Dolma and OLMo call them. Not a plain .json, which in a folder of shards says something of these.
SUFFIXES = (
    *(lines + packed for lines in (".jsonl", ".ndjson") for packed in ("", ".gz", ".zst")),
    *(".json.gz", ".json.zst", ".parquet"),
)
# Rows of a Parquet file that are unpacked at once.
ROWS_AT_ONCE = 1024
MEGABYTE = 1_000_000


class CorpusText(NamedTuple):
    """A text, and how many bytes of its file, as it lies on disk, were read since the text before."""

    text: str
    n_bytes: int


def shard_files(path: str | Path) -> list[Path]:
    """Return the shards of a corpus, sorted: a file, those of a folder (not of folders inside), or those of a pattern.

    Args:
        path: of a file or folder, or a pattern such as ``pile/**/*.jsonl.zst``.

    Raises:
        InputError: there is no shard, or the file has another suffix.
    """
    place = Path(path)
    if place.is_file() and not _is_shard(place):
        raise InputError(f"{path}: got the suffix {place.suffix!r}; allowed: {', '.join(SUFFIXES)}.")
    if place.is_dir():
        files = list(place.iterdir())
    else:
        files = [place] if place.is_file() else [Path(name) for name in glob.glob(str(path), recursive=True)]
    shards = sorted(file for file in files if _is_shard(file) and file.is_file())
    if not shards:
        raise InputError(
            f"{path}: got no file of a corpus; allowed: a file, a folder or a pattern of {', '.join(SUFFIXES)}."
        )
    return shards


def read_corpus(paths: Sequence[Path], text_key: str, *, name: str) -> Iterator[str]:
    """Yield the texts of shards, one after another, and say how far it is in megabytes on disk.

    Args:
        paths: of the shards.
        text_key: see ``read_texts``.
        name: of the line of progress.

    Raises:
        InputError: as ``read_texts``.
    """
    total = sum(map(_n_bytes, paths)) // MEGABYTE
    told = progress(
        _with_megabytes(paths, text_key), total=total, name=name, unit="megabyte", size=lambda read: read[1]
    )
    for text, _ in told:
        yield text


def read_texts(path: Path, text_key: str) -> Iterator[CorpusText]:
    """Yield the texts of a shard, letters composed (``normal_form``); blank lines are skipped.

    Memory does not grow with the file.

    Args:
        path: one of ``SUFFIXES``, of one compressed frame or several.
        text_key: the key of the text in the object of a line, or the column.

    Raises:
        InputError: the file cannot be read, is damaged or cut off, or a line is no JSON object in UTF-8 with a text.
    """
    if path.suffix.lower() == ".parquet":
        yield from _parquet_texts(path, text_key)
        return
    number = position = 0
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(_lines(path, stream), 1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if not line.strip():
                    continue
                text = _text_of(line, text_key, f"{path}, line {number}")
                # What was read from the disk since the text before: of a packed file, many texts at once.
                position, before = stream.tell(), position
                yield CorpusText(text, position - before)
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        kind = path.suffix.removeprefix(".")
        where = f"{path}, after line {number}"
        raise InputError(f"{where}: got damaged or missing bytes ({error}); allowed: a whole .{kind} file.") from error
    except OSError as error:
        raise InputError(f"{path}: got {error.strerror or error}; allowed: a readable file.") from error


def _parquet_texts(path: Path, column: str) -> Iterator[CorpusText]:
    import pyarrow
    from pyarrow import parquet

    check_regular(path)
    with in_one_line(path, "a Parquet file with texts"):
        file = parquet.ParquetFile(path)
        if column not in file.schema_arrow.names:
            raise one_of(f"{path}: column", column, file.schema_arrow.names)
        n_bytes = _n_bytes(path) // max(file.metadata.num_rows, 1)
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
            for text in batch.column(0).cast(pyarrow.string()).to_pylist():
                if text:
                    yield CorpusText(composed(text), n_bytes)


def _is_shard(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def _n_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: got {error.strerror}; allowed: a readable file.") from error


def _with_megabytes(paths: Sequence[Path], text_key: str) -> Iterator[tuple[str, int]]:
    """Yield texts with the whole megabytes that were completed since the text before."""
    n_bytes = 0
    for path in paths:
        for text, n in read_texts(path, text_key):
            before = n_bytes // MEGABYTE
            n_bytes += n
            yield text, n_bytes // MEGABYTE - before


def _lines(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a shard, none longer than ``LONGEST_LINE``: packed, a few bytes may be one without an end."""
    suffix = path.suffix.lower()
    if suffix == ".zst":
        yield from _split_lines(unpack_frames(stream), path)
        return
    plain = gzip.GzipFile(fileobj=stream) if suffix == ".gz" else stream
    while line := plain.readline(LONGEST_LINE + 1):
        _check_length(len(line), path)
        yield line


def _check_length(n_bytes: int, path: Path) -> None:
    if n_bytes > LONGEST_LINE:
        allowed = f"at most {LONGEST_LINE // MEGABYTE} MB"
        raise InputError(f"{path}: got a line of more than {LONGEST_LINE // MEGABYTE} MB; allowed: {allowed}.")


def _split_lines(chunks: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Yield lines without their ends."""
    # The pieces of a line that has not ended, joined once: put together one by one, a long line is copied each time.
    begun: list[bytes] = []
    n_begun = 0
    for chunk in chunks:
        rest, *lines = chunk.split(b"\n")
        begun.append(rest)
        if lines:
            yield b"".join(begun)
            yield from lines[:-1]
            begun = [lines[-1]]
        n_begun = len(lines[-1]) if lines else n_begun + len(rest)
        _check_length(n_begun, path)
    yield b"".join(begun)


def _text_of(line: bytes, text_key: str, where: str) -> str:
    try:
        content = line.decode("utf-8")
    except UnicodeDecodeError as error:
        bad_byte = f"byte 0x{line[error.start]:02x} at offset {error.start}, which is not UTF-8"
        raise InputError(f"{where}: got {bad_byte}; allowed: text in UTF-8.") from error
    record = parse_json(content, where, "one JSON object a line", whole=False)
    if not isinstance(record, dict):
        raise InputError(f"{where}: got a JSON {type(record).__name__}; allowed: one JSON object a line.")
    if text_key not in record:
        keys = ", ".join(map(repr, list(record)[:8])) or "none"
        raise InputError(f"{where}: got no key {text_key!r} among {keys}; allowed: objects that have it.")
    text = record[text_key]
    if not isinstance(text, str):
        raise InputError(f"{where}: key {text_key!r}: got a {type(text).__name__}; allowed: a text.")
    return composed(whole_characters(text, f"{where}: key {text_key!r}"))
