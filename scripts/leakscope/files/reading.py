"""Safe reading of untrusted files as text or JSON: only regular files, and only up to a size limit.

A small file may expand to much data (compressed text), and a device may never end, so sizes are checked while reading.
"""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import json
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from leakscope.errors import InputError

MEGABYTE = 1_000_000
# Largest file that is read whole, in bytes after decompression.
LARGEST_FILE = 1000 * MEGABYTE
# Largest compressed JSON, in bytes after decompression: as Python objects, brackets take twenty times as much.
LARGEST_PACKED = 100 * MEGABYTE
# Longest line of a file that is read line by line, in bytes.
LONGEST_LINE = 50 * MEGABYTE
PACKED = (".gz", ".zst")
# Bytes of a Zstandard file that are decompressed at a time: repetitive text may expand ten-thousandfold.
CHUNK = 1 << 11
# Byte order marks of encodings other than UTF-8, the longer marks first.
MARKS = (
    *((mark, "UTF-32") for mark in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    *((mark, "UTF-16") for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

# Errors of the machine, not of a file.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def in_one_line(where: object, allowed: str, found: str = "") -> Iterator[None]:
    """Turn any exception of a library that reads a user's file into a one-line InputError.

    A damaged file may raise almost any exception, about a time zone, a year or a missing key.

    Args:
        where: the file, and the place in it.
        allowed: the text after "allowed:".
        found: the text after "got", before the library's message.

    Raises:
        InputError: the library raised an exception.
    """
    try:
        yield
    except (InputError, ImportError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        reason = f"{found} ({one_line(error)})" if found else one_line(error)
        raise InputError(f"{where}: got {reason}; allowed: {allowed}.") from error


def one_line(error: Exception) -> str:
    """Return the message of an exception on one line; without a message, the name of its class."""
    return " ".join(str(error).split()) or type(error).__name__


def check_regular(path: Path) -> int:
    """Return the size of a regular file in bytes; links are followed. Call it before opening a user's file.

    Opening a FIFO would wait for a writer, and a device such as /dev/zero never ends.

    Raises:
        InputError: the file does not exist, or is not a regular file.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        what = "a link to nothing" if path.is_symlink() else "no such file"
        raise InputError(f"{path}: got {what}; allowed: a regular file.") from error
    except OSError as error:
        raise InputError(f"{path}: got {error.strerror}; allowed: a readable file.") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: got {KINDS[stat.S_IFMT(status.st_mode)]}; allowed: a regular file.")
    return status.st_size


def read_bytes(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """Return the content of a regular file of at most ``largest`` bytes.

    Raises:
        InputError: the file cannot be read, is not regular, or is larger.
    """
    size = check_regular(path)
    if size > largest:
        raise InputError(f"{path}: got {_megabytes(size)}; allowed: at most {_megabytes(largest)}.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: got {error.strerror}; allowed: a readable file.") from error


def read_packed(path: Path, largest: int = LARGEST_PACKED) -> bytes:
    """Return the decompressed content of a gzip (``.gz``) or Zstandard (``.zst``) file, at most ``largest`` bytes.

    Raises:
        InputError: as ``read_bytes``, or the file is damaged, or its content is larger.
    """
    data = _unpack(path, io.BytesIO(read_bytes(path, largest)), largest + 1)
    if len(data) > largest:
        raise InputError(
            f"{path}: got more than {_megabytes(largest)}, unpacked; allowed: at most {_megabytes(largest)}."
        )
    return data


def unpack_frames(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the decompressed bytes of a Zstandard file; unlike the library's reader, it detects truncated files."""
    frame = None
    while chunk := stream.read(CHUNK):
        while chunk:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(chunk)
            chunk = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("a truncated file, which ends inside of a frame")


def _first(pieces: Iterator[bytes], n_bytes: int) -> bytes:
    """Return the first ``n_bytes`` bytes of the pieces."""
    kept, left = [], n_bytes
    for piece in pieces:
        kept.append(piece[:left])
        left -= len(kept[-1])
        if left <= 0:
            break
    return b"".join(kept)


def read_utf8(path: Path, largest: int = LARGEST_FILE) -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        InputError: as ``read_bytes``, or the file is not UTF-8 (the message gives line and byte).
    """
    return decode(read_bytes(path, largest), path)


def read_unpacked(path: Path) -> str:
    """Return the text of a file, decompressed if its name ends in ``.gz`` or ``.zst``.

    Raises:
        InputError: as ``read_utf8`` and ``read_packed``.
    """
    return decode(read_packed(path), path) if path.suffix.lower() in PACKED else read_utf8(path)


def read_beginning(path: Path, largest: int) -> tuple[str, bool]:
    """Return the first lines of a file, as ``read_unpacked``, and whether they are the whole file.

    If the decompressed file has more than ``largest`` bytes, only the complete lines within these bytes are returned,
    possibly none.

    Raises:
        InputError: as ``read_unpacked``, for the part that was read.
    """
    check_regular(path)
    try:
        with path.open("rb") as stream:
            data = _unpack(path, stream, largest + 1)
    except OSError as error:
        raise InputError(f"{path}: got {error.strerror}; allowed: a readable file.") from error
    if len(data) <= largest:
        return decode(data, path), True
    coding = next((coding for mark, coding in MARKS if data.startswith(mark)), "UTF-8")
    try:
        # Not decode(): the last character may be incomplete.
        text = codecs.getincrementaldecoder(coding)().decode(data)
    except UnicodeDecodeError:
        text = decode(data, path)
    return text.removeprefix("\ufeff").rpartition("\n")[0], False


def _unpack(path: Path, stream: BinaryIO, n_bytes: int) -> bytes:
    """Return the first ``n_bytes`` bytes of a file, decompressed if its suffix is one of ``PACKED``."""
    suffix = path.suffix.lower()
    if suffix not in PACKED:
        return stream.read(n_bytes)
    try:
        if suffix == ".gz":
            return gzip.GzipFile(fileobj=stream).read(n_bytes)
        return _first(unpack_frames(stream), n_bytes)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        kind = "gzip" if suffix == ".gz" else "Zstandard"
        raise InputError(f"{path}: got {error}; allowed: a {kind} file.") from error


def decode(data: bytes, path: Path) -> str:
    """Return a file's bytes as text, without byte order mark: UTF-8, or UTF-16 and UTF-32 with a byte order mark.

    Raises:
        InputError: the bytes have another encoding.
    """
    coding = next((coding for mark, coding in MARKS if data.startswith(mark)), "UTF-8")
    if coding == "UTF-8" and 0 in data[:2]:
        raise InputError(f"{path}: got UTF-16 or UTF-32 without a byte order mark; allowed: a file saved as UTF-8.")
    try:
        return data.decode(coding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        bad_byte = f"byte 0x{data[error.start]:02x} at offset {error.start} (line {line})"
        coding = coding if coding == "UTF-8" else f"{coding}, despite its byte order mark"
        raise InputError(f"{path}: got {bad_byte}, which is not {coding}; allowed: a file saved as UTF-8.") from error


def whole_characters(text: str, where: str) -> str:
    """Return a text from JSON unchanged if UTF-8 can encode it; JSON can escape half a surrogate pair, UTF-8 cannot.

    Raises:
        InputError: the text contains half a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise InputError(f"{where}: got {half!r}, half a surrogate pair; allowed: whole characters.") from error
    return text


def read_json(path: Path, allowed: str) -> Any:
    """Return the value of a JSON file, decompressed if its name ends in ``.gz`` or ``.zst``.

    Raises:
        InputError: as ``read_unpacked`` and ``parse_json``.
    """
    return parse_json(read_unpacked(path), str(path), allowed)


def read_object(path: Path, allowed: str) -> dict[str, Any]:
    """Return the object in a JSON file, as ``read_json``.

    Raises:
        InputError: as ``read_json``, or the file's value is not an object.
    """
    content = read_json(path, allowed)
    if not isinstance(content, dict):
        raise InputError(f"{path}: got a JSON {type(content).__name__}; allowed: {allowed}.")
    return content


def parse_json(
    text: str,
    where: str,
    allowed: str,
    pairs: Callable[[Sequence[tuple[str, Any]]], dict[str, Any]] | None = None,
    *,
    whole: bool = True,
) -> Any:
    """Return the value of a JSON text.

    Args:
        text: JSON.
        where: file and line, for the error.
        allowed: the text after "allowed:" in the error.
        pairs: builds an object from its keys and values; None: a ``dict``, and repeated keys are refused.
        whole: whether half a surrogate pair is refused anywhere; False if the caller uses only a few texts and checks
            these (``whole_characters``).

    Raises:
        InputError: the text is not JSON, is nested too deep for Python, repeats a key, or contains half a surrogate
            pair.
    """

    def unique(given: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(given)
        if len(content) < len(given):
            names = [name for name, _ in given]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{where}: got the key {twice!r} twice; allowed: each key once.")
        return content

    try:
        value = json.loads(text, object_pairs_hook=pairs or unique)
        # Only an escape can produce half a surrogate pair, so most texts need no further check.
        if whole and "\\ud" in text.lower():
            whole_characters(json.dumps(value, ensure_ascii=False), where)
        return value
    except RecursionError as error:
        problem = "lists and objects nested too deep"
        raise InputError(f"{where}: got invalid JSON ({problem}); allowed: {allowed}.") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{where}: got invalid JSON ({error}); allowed: {allowed}.") from error


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / MEGABYTE:,.0f} MB"
