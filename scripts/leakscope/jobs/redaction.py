"""What others must not read: keys, tokens and passwords become ``***`` in every line that is written.

Known are the values of variables of the environment that ``remember`` was told of or that are named like a token, those
of ``remember_value``, and what looks like a secret: ``user:password@`` in an address, parameters such as ``api_key=``,
what follows ``Authorization:``, ``Bearer`` and ``Basic``, tokens of the hub.
``InputError`` hides its own message, and ``hide_in_logs`` does so for all loggers and tracebacks of a process.

Which variables hold keys, and such values, are remembered for the life of the process, as logging remembers its
handlers: a log line does not say whose key it may hold.
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
# A shorter value is a placeholder ("EMPTY", "none") rather than a key, and would be found in innocent words.
SHORTEST = 6
# The rest of a longer key is recognised by standing behind its beginning.
LONGEST_SPELT = 200
TOKEN_VARIABLE = re.compile(r"(?:\w*_)?(?:TOKEN|API_KEY|ACCESS_KEY|SECRET)", re.IGNORECASE)
SECRET_NAME = re.compile(
    r"(?:.*[_-])?(?:key|apikey|token|secret|passw(?:or)?d|pwd|pass|passphrase|auth|authorization"
    r"|bearer|jwt|cookie|credentials?|sig|signature)",
    re.IGNORECASE,
)
# Without `://` only where a port or a path follows, and not in a path: mail addresses and files are no secrets.
USER = re.compile(r"(?<![\w.~%+/-])[\w.~%+-]*:[^\s@/]{1,500}@(?=[\w\[][\w.\]-]{0,250}[:/])")
# Of passwords in which what an address must not hold was not encoded; a port is no password.
USER_OF_ADDRESS = re.compile(r"(?<=://)(?:[^\s/?#]{1,500}|[^\s:/?#@]{0,500}:(?!\d+[/?#])\S{0,500})@")
PARAMETER = re.compile(r"(?:(?<=[?&#])|(?<=&amp;))([\w.~%-]{1,60})=[^\s&;#\"'<>]+")
# As headers have them: `Authorization: Token x` is hidden from its colon on, whatever the kind.
AUTHORIZATION = re.compile(
    r"(?<=authorization)([\\\"']{0,4}\s*+:\s*+[\\\"']{0,4}+)(?!\*\*\*)[^\s\\\"'<>,;]+(?: +[^\s\\\"'<>,;]+)?",
    re.IGNORECASE,
)
# Behind these words stands a word with a digit, which "Basic English" has not.
BEARER = re.compile(r"\b((?i:bearer)|Basic)\s++(?=[^\s\"'<>,;\d]{0,500}\d)[^\s\"'<>,;]{6,}")
# As the hub and OpenAI write them; names of people's folders are shorter.
KNOWN_TOKEN = re.compile(r"\b(?:hf_[A-Za-z0-9]{30,}|sk-[\w-]{32,})")

# What begins and ends an escaped character, itself escaped or not.
BACKSLASH, AND, END = r"(?:\\|%(?:25)*5c)", r"(?:&|%(?:25)*26)(?:amp(?:;|%(?:25)*3b))*", r"(?:;|%(?:25)*3b)"


def remember(variable: str) -> None:
    """Hide from now on what a variable of the environment holds: it is named by a study, and may be called anything."""
    _key_variables.add(variable)


def remember_value(value: str) -> None:
    """Hide from now on a secret that stands in no variable of the environment, but in a file, say."""
    _key_values.add(value)


def hide(text: str) -> str:
    """Return a text in which everything that is secret, or looks so, is ``***``; hide first, then cut."""
    for value in _known_values():
        text = _spelling_pattern(value).sub(HIDDEN, text)
    if "@" in text:
        text = USER.sub(f"{HIDDEN}@", USER_OF_ADDRESS.sub(f"{HIDDEN}@", text))
    text = PARAMETER.sub(_hide_parameter, text)
    text = BEARER.sub(rf"\1 {HIDDEN}", AUTHORIZATION.sub(rf"\1{HIDDEN}", text))
    return KNOWN_TOKEN.sub(HIDDEN, text)


def hide_key(text: str, key: str) -> str:
    """Return a text without one key, in whatever spelling, and otherwise as it was: for what is kept as data."""
    return _spelling_pattern(key).sub(HIDDEN, text) if len(key) >= SHORTEST else text


def hide_in(value: Any) -> Any:
    """Return plain data without what stands under names such as ``api_key``."""
    if isinstance(value, dict):
        return {key: HIDDEN if is_secret_name(str(key)) else hide_in(item) for key, item in value.items()}
    return [hide_in(item) for item in value] if isinstance(value, list) else value


def is_secret_name(name: str) -> bool:
    """Say whether what is called so is a secret: ``api_key``, ``access-token``, ``password``; not ``max_tokens``."""
    return SECRET_NAME.fullmatch(name) is not None


def hide_in_logs() -> None:
    """Hide secrets in whatever is logged or ends this process from now on, by whichever logger and handler."""
    logging.setLogRecordFactory(_HiddenRecord)
    sys.excepthook = _print_hidden
    threading.excepthook = lambda failed: _print_hidden(failed.exc_type, failed.exc_value, failed.exc_traceback)
    sys.unraisablehook = _print_unraisable


class _HiddenRecord(logging.LogRecord):
    """A record whose message and traceback are hidden before any handler gets it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if isinstance(self.msg, str) and not self.args:
            self.msg = hide(self.msg)  # Snakemake's handlers read this alone
        if self.exc_info and self.exc_info[0] is not None:
            # Formatters take what is there already.
            self.exc_text = hide("".join(traceback.format_exception(*self.exc_info)).rstrip("\n"))
        if self.stack_info:
            self.stack_info = hide(self.stack_info)

    def getMessage(self) -> str:  # noqa: N802
        return hide(super().getMessage())


def _print_hidden(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    sys.stderr.write(hide("".join(traceback.format_exception(kind, error, trace))))


def _print_unraisable(failed: sys.UnraisableHookArgs) -> None:
    """Print what was raised where nobody can catch it, in a ``__del__`` say, as Python does."""
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
    """Return what finds a secret as it is and as programs pass it on: escaped for JSON, HTML or an address, in base64
    (alone or after something), or in hexadecimal digits."""
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
    """Yield patterns of what stays of some bytes in base64, whatever stands before and after them."""
    for offset, shared in ((0, 0), (1, 2), (2, 3)):
        coded = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        own = coded[shared : len(coded) - bool((offset + len(data)) % 3)]
        either = own.replace("+", "[+-]").replace("/", "[/_]")
        # The characters at its ends say some bits of it.
        yield rf"{'[A-Za-z0-9+/_-]?' if shared else ''}{either}[A-Za-z0-9+/_=-]{{0,3}}"


def _hide_parameter(match: re.Match[str]) -> str:
    return f"{match[1]}={HIDDEN}" if is_secret_name(match[1]) else match[0]
