"""Streaming reader of corpora: shards of JSON lines, plain or compressed, or of Parquet."""

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

# The names of The Pile, C4, Dolma and OLMo. Not plain .json, which is often metadata in a folder of shards.
SUFFIXES = (
    *(lines + packed for lines in (".jsonl", ".ndjson") for packed in ("", ".gz", ".zst")),
    *(".json.gz", ".json.zst", ".parquet"),
)
# Rows of a Parquet file that are unpacked at once.
ROWS_AT_ONCE = 1024
MEGABYTE = 1_000_000


class CorpusText(NamedTuple):
    """A text, and the number of bytes read from disk, compressed where the file is, since the previous text."""

    text: str
    n_bytes: int


def shard_files(path: str | Path) -> list[Path]:
    """Return the shards of a corpus, sorted: one file, the files of a folder (not of subfolders), or of a pattern.

    Args:
        path: a file, a folder or a pattern such as ``pile/**/*.jsonl.zst``.

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
            f"{path}: got no file of a corpus; allowed: a file, a folder or a pattern with files {', '.join(SUFFIXES)}."
        )
    return shards


def read_corpus(paths: Sequence[Path], text_key: str, *, name: str) -> Iterator[str]:
    """Yield the texts of all shards in order, and log progress in megabytes on disk.

    Args:
        paths: the shards.
        text_key: see ``read_texts``.
        name: name in the progress line.

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
    """Yield the texts of a shard in Unicode form C (``normal_form``); blank lines are skipped.

    Memory use does not grow with the file.

    Args:
        path: a file with one of ``SUFFIXES``, in one or more compressed frames.
        text_key: the key of the text in each JSON object, or the column of a Parquet file.

    Raises:
        InputError: the file cannot be read, is damaged or truncated, or a line is not a JSON object in UTF-8 with a
            text.
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
                # Compressed files are read in blocks, so many texts may share one step.
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
    """Yield texts with the number of megabytes completed since the previous text."""
    n_bytes = 0
    for path in paths:
        for text, n in read_texts(path, text_key):
            before = n_bytes // MEGABYTE
            n_bytes += n
            yield text, n_bytes // MEGABYTE - before


def _lines(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a shard; refuse lines over ``LONGEST_LINE``, since a few compressed bytes may hold one."""
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
    """Yield lines without their line breaks."""
    # The pieces of the current line, joined only once: joining at each chunk would copy a long line each time.
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
        raise InputError(f"{where}: got no key {text_key!r} among {keys}; allowed: objects with this key.")
    text = record[text_key]
    if not isinstance(text, str):
        raise InputError(f"{where}: key {text_key!r}: got a {type(text).__name__}; allowed: a text.")
    return composed(whole_characters(text, f"{where}: key {text_key!r}"))
