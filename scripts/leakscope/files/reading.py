"""Reading what a stranger wrote: regular files alone, whole, as text or JSON, and never more than a limit.

A small file may hold much: text that is packed, or a device that never ends. So what is read is counted before it is
believed.
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
# Bytes of a file that is read whole, unpacked.
LARGEST_FILE = 1000 * MEGABYTE
# Bytes of JSON that was packed: as objects, brackets alone take twenty times as much.
LARGEST_PACKED = 100 * MEGABYTE
# Bytes of a line of a file that is read line by line.
LONGEST_LINE = 50 * MEGABYTE
PACKED = (".gz", ".zst")
# Bytes of a Zstandard file that are unpacked at a time. Few, since text that repeats itself grows ten thousand times.
CHUNK = 1 << 11
# What a file begins with that is no UTF-8, the longer marks first.
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

# Of the machine, and not of a file.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def in_one_line(where: object, allowed: str, found: str = "") -> Iterator[None]:
    """Say in one line whatever a library raises over a file that somebody else wrote.

    A damaged file raises what its first broken part happens to raise: of a time zone, of a year, of a missing key.

    Args:
        where: the file, and the place in it.
        allowed: what the error calls right.
        found: what the error calls this, before what the library says.

    Raises:
        InputError: something was raised.
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
    """Return what an error says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def check_regular(path: Path) -> int:
    """Return the size of a regular file in bytes; links are followed.

    Opening a FIFO waits for a writer, and a device such as /dev/zero has no end.

    Raises:
        InputError: there is no such file, or it is something else.
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
        InputError: the file cannot be read, is no regular one, or is larger.
    """
    size = check_regular(path)
    if size > largest:
        raise InputError(f"{path}: got {_megabytes(size)}; allowed: at most {_megabytes(largest)}.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: got {error.strerror}; allowed: a readable file.") from error


def read_packed(path: Path, largest: int = LARGEST_PACKED) -> bytes:
    """Return what a file holds that is packed by gzip (``.gz``) or Zstandard (``.zst``), at most ``largest`` bytes.

    Raises:
        InputError: as ``read_bytes``, or the file is damaged, or holds more.
    """
    data = _unpack(path, io.BytesIO(read_bytes(path, largest)), largest + 1)
    if len(data) > largest:
        raise InputError(f"{path}: got more than {_megabytes(largest)}, unpacked; allowed: at most that.")
    return data


def unpack_frames(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a Zstandard file; unlike the library's own reader, notice an end inside of a frame."""
    frame = None
    while chunk := stream.read(CHUNK):
        while chunk:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(chunk)
            chunk = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the file ends inside of a frame")


def _first(pieces: Iterator[bytes], n_bytes: int) -> bytes:
    """Return the first bytes of the pieces, joined."""
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
        InputError: as ``read_bytes``, or the file is not UTF-8 (the message names line and byte).
    """
    return decode(read_bytes(path, largest), path)


def read_unpacked(path: Path) -> str:
    """Return the text of a file, plain or, if its name ends in ``.gz`` or ``.zst``, packed.

    Raises:
        InputError: as ``read_utf8`` and ``read_packed``.
    """
    return decode(read_packed(path), path) if path.suffix.lower() in PACKED else read_utf8(path)


def read_beginning(path: Path, largest: int) -> tuple[str, bool]:
    """Return the first lines of a file, as ``read_unpacked`` does, and whether these are all of it.

    Of a file of more than ``largest`` bytes, unpacked, it is the lines that end in so many of them: maybe none.

    Raises:
        InputError: as there, of what was read.
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
        # Not decode(): the last character may be cut.
        text = codecs.getincrementaldecoder(coding)().decode(data)
    except UnicodeDecodeError:
        text = decode(data, path)
    return text.removeprefix("\ufeff").rpartition("\n")[0], False


def _unpack(path: Path, stream: BinaryIO, n_bytes: int) -> bytes:
    """Return the first bytes of a file that is packed, or is not, as its name says."""
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
    """Return bytes of a file as text, without a byte order mark; UTF-16 and UTF-32 with such a mark are read, too.

    Raises:
        InputError: they are none of these.
    """
    coding = next((coding for mark, coding in MARKS if data.startswith(mark)), "UTF-8")
    if coding == "UTF-8" and 0 in data[:2]:
        raise InputError(f"{path}: got UTF-16 or UTF-32 without its first bytes; allowed: a file saved as UTF-8.")
    try:
        return data.decode(coding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        bad_byte = f"byte 0x{data[error.start]:02x} at offset {error.start} (line {line})"
        coding = coding if coding == "UTF-8" else f"{coding}, as its first bytes say"
        raise InputError(f"{path}: got {bad_byte}, which is not {coding}; allowed: a file saved as UTF-8.") from error


def whole_characters(text: str, where: str) -> str:
    """Return a text that somebody wrote in JSON, which may name half of a character: no file could hold that.

    Raises:
        InputError: it does.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise InputError(f"{where}: got {half!r}, half a surrogate pair; allowed: whole characters.") from error
    return text


def read_json(path: Path, allowed: str) -> Any:
    """Return what a file of JSON holds, plain or, if its name ends in ``.gz``, packed.

    Raises:
        InputError: as ``read_unpacked`` and ``parse_json``.
    """
    return parse_json(read_unpacked(path), str(path), allowed)


def read_object(path: Path, allowed: str) -> dict[str, Any]:
    """Return the object that a file of JSON holds, as ``read_json``.

    Raises:
        InputError: as there, or it holds something else.
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
        text: of the value.
        where: file and line, for the error.
        allowed: what the error calls right.
        pairs: makes an object of its keys and values; if None, ``dict``, after each key was found to be there once.
        whole: whether half a character is refused, wherever it is; not where the caller takes a few texts alone, and
            looks at these (``whole_characters``).

    Raises:
        InputError: it is no JSON, nested deeper than Python can follow, has a key twice, or names half of a character.
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
        # Only an escape names half a character; most texts have none, and are not looked at again.
        if whole and "\\ud" in text.lower():
            whole_characters(json.dumps(value, ensure_ascii=False), where)
        return value
    except RecursionError as error:
        problem = "lists and objects inside each other too deep"
        raise InputError(f"{where}: got invalid JSON ({problem}); allowed: {allowed}.") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{where}: got invalid JSON ({error}); allowed: {allowed}.") from error


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / MEGABYTE:,.0f} MB"
