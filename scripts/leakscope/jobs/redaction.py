"""Redaction of secrets: keys, tokens and passwords become ``***`` in every line that is written.

Redacted are the values of environment variables passed to ``remember`` or named like a token, values passed to
``remember_value``, and texts that look like secrets: ``user:password@`` in an address, parameters such as ``api_key=``,
the text after ``Authorization:``, ``Bearer`` and ``Basic``, tokens of the hub. ``InputError`` redacts its own message;
``hide_in_logs`` does so for all loggers and tracebacks of a process.

Variables and values are remembered for the life of the process, because any log line may contain any key.
"""

from __future__ import annotations

import base64
import html
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from functools import lru_cache
from types import TracebackType
from typing import Any

HIDDEN = "***"
# Shorter values are placeholders ("EMPTY", "none") rather than keys, and would match parts of ordinary words.
SHORTEST = 6
# Of a longer key, only this beginning is matched; the rest is matched as any characters after it.
LONGEST_SPELT = 200
TOKEN_VARIABLE = re.compile(r"(?:\w*_)?(?:TOKEN|API_KEY|ACCESS_KEY|SECRET)", re.IGNORECASE)
SECRET_NAME = re.compile(
    r"(?:.*[_-])?(?:key|apikey|token|secret|passw(?:or)?d|pwd|pass|passphrase|auth|authorization"
    r"|bearer|jwt|cookie|credentials?|sig|signature)",
    re.IGNORECASE,
)
# Without `://` only before a port or a path, and not inside a path: mail addresses and files are not secrets.
USER = re.compile(r"(?<![\w.~%+/-])[\w.~%+-]*:[^\s@/]{1,500}@(?=[\w\[][\w.\]-]{0,250}[:/])")
# Passwords with characters that should have been percent-encoded; a port is not a password.
USER_OF_ADDRESS = re.compile(r"(?<=://)(?:[^\s/?#]{1,500}|[^\s:/?#@]{0,500}:(?!\d+[/?#])\S{0,500})@")
PARAMETER = re.compile(r"(?:(?<=[?&#])|(?<=&amp;))([\w.~%-]{1,60})=[^\s&;#\"'<>]+")
# As in headers: `Authorization: Token x` is hidden after the colon, whatever the scheme.
AUTHORIZATION = re.compile(
    r"(?<=authorization)([\\\"']{0,4}\s*+:\s*+[\\\"']{0,4}+)(?!\*\*\*)[^\s\\\"'<>,;]+(?: +[^\s\\\"'<>,;]+)?",
    re.IGNORECASE,
)
# A token after these words has a digit, unlike "Basic English".
BEARER = re.compile(r"\b((?i:bearer)|Basic)\s++(?=[^\s\"'<>,;\d]{0,500}\d)[^\s\"'<>,;]{6,}")
# Tokens of the hub and of OpenAI; ordinary names are shorter.
KNOWN_TOKEN = re.compile(r"\b(?:hf_[A-Za-z0-9]{30,}|sk-[\w-]{32,})")

# What begins and ends an escaped character, itself escaped or not.
BACKSLASH, AND, END = r"(?:\\|%(?:25)*5c)", r"(?:&|%(?:25)*26)(?:amp(?:;|%(?:25)*3b))*", r"(?:;|%(?:25)*3b)"


def remember(variable: str) -> None:
    """Redact the value of an environment variable from now on; for variables that a study names."""
    _key_variables.add(variable)


def remember_value(value: str) -> None:
    """Redact a value from now on; for secrets that are not in the environment, for example from a file."""
    _key_values.add(value)


def hide(text: str) -> str:
    """Return a text with all known and likely secrets replaced by ``***``; call it before shortening a text."""
    for value in _known_values():
        text = _spelling_pattern(value).sub(HIDDEN, text)
    if "@" in text:
        text = USER.sub(f"{HIDDEN}@", USER_OF_ADDRESS.sub(f"{HIDDEN}@", text))
    text = PARAMETER.sub(_hide_parameter, text)
    text = BEARER.sub(rf"\1 {HIDDEN}", AUTHORIZATION.sub(rf"\1{HIDDEN}", text))
    return KNOWN_TOKEN.sub(HIDDEN, text)


def hide_key(text: str, key: str) -> str:
    """Return a text with one key redacted, in any encoding, and otherwise unchanged; for texts kept as data."""
    return _spelling_pattern(key).sub(HIDDEN, text) if len(key) >= SHORTEST else text


def hide_in(value: Any) -> Any:
    """Return plain data with the values of keys such as ``api_key`` redacted."""
    if isinstance(value, dict):
        return {key: HIDDEN if is_secret_name(str(key)) else hide_in(item) for key, item in value.items()}
    return [hide_in(item) for item in value] if isinstance(value, list) else value


def is_secret_name(name: str) -> bool:
    """Return whether a name denotes a secret: ``api_key``, ``access-token``, ``password``; not ``max_tokens``."""
    return SECRET_NAME.fullmatch(name) is not None


def hide_in_logs() -> None:
    """Redact secrets in all log records and tracebacks of this process from now on."""
    logging.setLogRecordFactory(_HiddenRecord)
    sys.excepthook = _print_hidden
    threading.excepthook = lambda failed: _print_hidden(failed.exc_type, failed.exc_value, failed.exc_traceback)
    sys.unraisablehook = _print_unraisable


class _HiddenRecord(logging.LogRecord):
    """A log record whose message and traceback are redacted before any handler sees them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if isinstance(self.msg, str) and not self.args:
            self.msg = hide(self.msg)  # Snakemake's handlers read only this
        if self.exc_info and self.exc_info[0] is not None:
            # Formatters reuse an existing exc_text.
            self.exc_text = hide("".join(traceback.format_exception(*self.exc_info)).rstrip("\n"))
        if self.stack_info:
            self.stack_info = hide(self.stack_info)

    def getMessage(self) -> str:  # noqa: N802
        return hide(super().getMessage())


def _print_hidden(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    sys.stderr.write(hide("".join(traceback.format_exception(kind, error, trace))))


def _print_unraisable(failed: sys.UnraisableHookArgs) -> None:
    """Print an exception that cannot be caught, for example in ``__del__``, as Python does."""
    try:
        where = repr(failed.object)
    except Exception:
        where = "<object repr() failed>"
    sys.stderr.write(hide(f"{failed.err_msg or 'Exception ignored in'}: {where}\n"))
    _print_hidden(failed.exc_type, failed.exc_value, failed.exc_traceback)


_key_variables: set[str] = set()
_key_values: set[str] = set()


def _known_values() -> list[str]:
    """Return the secrets of this process, the longest first: one may be part of another."""
    named = (value for name, value in os.environ.items() if name in _key_variables or TOKEN_VARIABLE.fullmatch(name))
    values = {part for value in (*named, *_key_values) for part in (value.strip(), "".join(value.split("\n")).strip())}
    return sorted((value for value in values if len(value) >= SHORTEST), key=lambda value: (-len(value), value))


@lru_cache(maxsize=64)
def _spelling_pattern(value: str) -> re.Pattern[str]:
    """Return a pattern of a secret in plain form and in encodings: escaped for JSON, HTML or URLs, in base64 (whole or
    within a longer text), in hexadecimal."""
    data = value.encode("utf-8", "surrogateescape")
    plain = "".join(map(_character_pattern, value[:LONGEST_SPELT]))
    if len(value) > LONGEST_SPELT:
        plain += r"[\w.~+/%=-]*"
    return re.compile("|".join((plain, *_in_base64(data), data.hex())), re.IGNORECASE)


def _character_pattern(character: str) -> str:
    """Return a pattern of one character in its spellings."""
    code, data = ord(character), character.encode("utf-8", "surrogateescape")
    percent = "".join(f"%(?:25)*{byte:02x}" for byte in data)
    spellings = [
        rf"{BACKSLASH}{{1,16}}(?:u{code:04x}|x{code:02x})",
        rf"{AND}#0*(?:{code}|x0*{code:x}){END}",
    ]
    if not character.isalnum():
        spellings.append(rf"{BACKSLASH}{{1,16}}(?:{re.escape(character)}|{percent})")
    if html.escape(character) != character:
        spellings.append(f"{AND}{html.escape(character)[1:-1]}{END}")
    if character == " ":
        spellings.append(r"\+")
    return f"(?:{'|'.join((*spellings, percent, re.escape(character)))})"


def _in_base64(data: bytes) -> Iterator[str]:
    """Yield patterns of the base64 digits that some bytes determine, whatever precedes and follows them."""
    for offset, shared in ((0, 0), (1, 2), (2, 3)):
        coded = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        own = coded[shared : len(coded) - bool((offset + len(data)) % 3)]
        either = own.replace("+", "[+-]").replace("/", "[/_]")
        # The digits at the ends share bits with neighbouring bytes.
        yield rf"{'[A-Za-z0-9+/_-]?' if shared else ''}{either}[A-Za-z0-9+/_=-]{{0,3}}"


def _hide_parameter(match: re.Match[str]) -> str:
    return f"{match[1]}={HIDDEN}" if is_secret_name(match[1]) else match[0]
