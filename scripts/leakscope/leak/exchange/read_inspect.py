"""Texts of inspect_ai: its logs, ``.eval`` (a zip with a file for each sample) and ``.json``; inspect_ai is not needed.

The members of an ``.eval`` are packed by Zstandard, which Python's zip files do not know before 3.14.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from leakscope.errors import InputError, Mistakes
from leakscope.files.normal_form import composed
from leakscope.files.reading import (
    LARGEST_FILE,
    LARGEST_PACKED,
    check_regular,
    in_one_line,
    parse_json,
    read_object,
)
from leakscope.leak.cells import at
from leakscope.leak.exchange.logged_texts import LoggedText, id_of, text_of

ALLOWED = "a log as inspect_ai writes it (.eval or .json)"
# Of a zip's members, as the format's own specification numbers it.
ZSTANDARD = 93
_LOCAL_HEADER = struct.Struct("<26xHH")
_SAMPLE = re.compile(r"samples/.+\.json")
# Keys that a log in JSON begins with.
_LOG = re.compile(r'\s*\{\s*"version"\s*:\s*\d+\s*,\s*"status"\s*:')
BEGINNING = 4096
ATTACHMENT = "attachment://"


def is_inspect(path: Path) -> bool:
    """Say whether a file is such a log: by its suffix, or for JSON by the keys that it begins with."""
    if path.suffix.lower() == ".eval":
        return True
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return bool(_LOG.match(stream.read(BEGINNING).decode("utf-8", errors="replace")))


def read_inspect(path: Path) -> list[LoggedText]:
    """Return what each sample says, epoch by epoch: all choices of its output.

    Raises:
        InputError: it is no such log, holds no samples, or one of them is damaged or failed: all mistakes, a line each.
    """
    found, logged = Mistakes(), list[tuple[int, LoggedText]]()
    for row, sample in enumerate(_samples(path), 1):
        with found.kept():
            logged.append(_entry(sample, path, row))
    found.end()
    if not logged:
        raise InputError(f"{path}: got a log without samples; allowed: {ALLOWED}, not only its header.")
    return [entry for _, entry in sorted(logged, key=lambda pair: pair[0])]


def _samples(path: Path) -> Iterator[Any]:
    if path.suffix.lower() != ".eval":
        samples = read_object(path, ALLOWED).get("samples")
        yield from samples if isinstance(samples, list) else ()
        return
    check_regular(path)
    with in_one_line(path, ALLOWED), zipfile.ZipFile(path) as packed:
        members = [member for member in packed.infolist() if _SAMPLE.fullmatch(member.filename)]
        _refuse_large(members, path)
        for member in members:
            content = _unpacked(packed, member).decode("utf-8")
            yield parse_json(content, f"{path}, {member.filename}", ALLOWED)


def _refuse_large(members: list[zipfile.ZipInfo], path: Path) -> None:
    if max((member.file_size for member in members), default=0) > LARGEST_PACKED:
        largest = f"{LARGEST_PACKED // 10**6} MB"
        raise InputError(f"{path}: got a sample of more than {largest}; allowed: at most {largest}.")
    if sum(member.file_size for member in members) > LARGEST_FILE:
        largest = f"{LARGEST_FILE // 10**6} MB"
        raise InputError(f"{path}: got more than {largest} of samples; allowed: at most {largest}.")


def _unpacked(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return the content of a zip's member, at most as much as the zip says of it."""
    if member.compress_type != ZSTANDARD:
        return packed.read(member)
    assert packed.fp is not None
    packed.fp.seek(member.header_offset)
    name, extra = _LOCAL_HEADER.unpack(packed.fp.read(_LOCAL_HEADER.size))
    packed.fp.seek(name + extra, 1)
    data, content = packed.fp.read(member.compress_size), b""
    while data and len(content) < member.file_size:  # a large sample has several frames
        frame = zstandard.ZstdDecompressor().decompressobj()
        content += frame.decompress(data)
        data = frame.unused_data
    if len(content) != member.file_size:
        raise InputError(f"{member.filename}: got {len(content)} bytes; allowed: {member.file_size}, as the zip says.")
    return content


def _entry(sample: Any, path: Path, row: int) -> tuple[int, LoggedText]:
    if not isinstance(sample, dict):
        raise InputError(f"{at(path, row)}: got a JSON {type(sample).__name__}; allowed: a sample.")
    choices = sample["output"].get("choices") if isinstance(sample.get("output"), dict) else None
    if not isinstance(choices, list) or not choices:
        reason = "an error" if sample.get("error") else "nothing"
        raise InputError(f"{at(path, row)}: output.choices: got {reason}; allowed: a sample with the model's text.")
    epoch, attached = sample.get("epoch", 1), sample.get("attachments")
    if not isinstance(epoch, int):
        raise InputError(f"{at(path, row)}: epoch: got {epoch!r}; allowed: a whole number.")
    attached = attached if isinstance(attached, dict) else {}
    texts = tuple(_written(choice, attached, path, row) for choice in choices)
    return epoch, LoggedText(row, id_of(sample.get("metadata")), _prompts(sample, attached), texts)


def _written(choice: Any, attached: dict[str, Any], path: Path, row: int) -> str:
    message = choice.get("message") if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    return text_of(_content(content, attached), path, row, "output.choices.message.content")


def _content(content: Any, attached: dict[str, Any]) -> Any:
    """Return the text of a message: without its thoughts and pictures; text that is kept elsewhere is looked up there.

    None where it is not there.
    """
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        texts = [_content(part, attached) for part in parts if isinstance(part, str)]
        return "".join(texts) if all(isinstance(text, str) for text in texts) else None
    is_elsewhere = isinstance(content, str) and content.startswith(ATTACHMENT)
    return attached.get(content.removeprefix(ATTACHMENT)) if is_elsewhere else content


def _prompts(sample: dict[str, Any], attached: dict[str, Any]) -> tuple[str, ...]:
    """Return what may be the prompt: the input, or the last turn of the user in it."""
    given = sample.get("input")
    if isinstance(given, list):
        of_user = [turn for turn in given if isinstance(turn, dict) and turn.get("role") == "user"]
        given = of_user[-1].get("content") if of_user else None
    text = _content(given, attached)
    return (composed(text),) if isinstance(text, str) else ()
