"""Read a text's tokens from a server's answer: where each ends, and its conditional log-probability.

Two forms are read. OpenAI's completions, vLLM and llama-cpp-python give ``choices[0].logprobs`` of the text that
``echo`` repeats; vLLM gives its own ``prompt_logprobs``, in the choice or next to it. Neither form gives a token's
characters in a way that all servers share, so tokens are aligned with the text that was sent.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

# Tolerance for rounding of log-probabilities above 0.
ROUNDING = 1e-3
# Lower bound: servers write −9999 for −∞, and JSON has integers of any length.
LOWEST = -1e6
# Maximum number of tokens that a server puts before a text.
LONGEST_BEGINNING = 2
# The replacement for part of a character, and OpenAI's notation.
PARTIAL = "\N{REPLACEMENT CHARACTER}"
RAW = re.compile(r"bytes:(\\x[0-9a-fA-F]{2})+")


class TokenLogprobs(NamedTuple):
    """The tokens of a text.

    ends: where each token ends, in characters of the text; it begins where the previous one ends. logprobs: of each
    given those before it, in nats, at most 0; None for the first if nothing precedes it.
    """

    ends: list[int]
    logprobs: list[float | None]


class Malformed(NamedTuple):
    """Invalid log-probabilities, with the reason in a few words."""

    reason: str


class OtherText(NamedTuple):
    """Tokens that do not match the text that was sent, with their beginning."""

    tokens: str


Read = TokenLogprobs | Malformed | OtherText
# A token's text (None if not given) and its log-probability.
_Given = tuple[str | None, float | None]
# From the bytes of a text, where a token begins, and it, to where it may end.
_Spans = Callable[[bytes, int, str | None], Iterator[int]]


def read_echo(answer: Mapping[str, Any], text: str) -> Read | None:
    """Return the tokens of a text that ``echo`` has repeated, and after which one token was written.

    Args:
        answer: of a server.
        text: as sent.

    Returns:
        None where the answer has no log-probabilities, or of what was written alone: some pass over ``echo``.
    """
    choice = _choice(answer)
    read = None if choice.get("logprobs") is None else _read_columns(choice["logprobs"], text)
    is_repeated = str(choice.get("text")).startswith(text)
    return read if is_repeated or isinstance(read, TokenLogprobs) else None


def _read_columns(said: Any, text: str) -> Read:
    """Return the tokens of a text from ``tokens`` and ``token_logprobs``, which have one that was written as well."""
    columns = ("tokens", "token_logprobs", *(["text_offset"] if _has(said, "text_offset") else []))
    if not isinstance(said, dict) or not all(isinstance(said.get(key), list) for key in columns):
        return Malformed("logprobs without `tokens` and `token_logprobs`")
    lengths = {key: len(said[key]) for key in columns}
    if len(set(lengths.values())) > 1:
        return Malformed(f"{', '.join(f'{n} {key}' for key, n in lengths.items())}")
    if not all(isinstance(token, str) for token in said["tokens"]):
        return Malformed("a token that is no text")
    given = list(zip(said["tokens"], said["token_logprobs"], strict=True))
    # Where a server writes its end of text, some count that as the token that was written, and some do not.
    found = lay_along(text, given[:-1])
    return lay_along(text, given) if isinstance(found, OtherText) else found


def read_prompt_logprobs(answer: Mapping[str, Any], text: str) -> Read | None:
    """Return the tokens of a text from vLLM's ``prompt_logprobs``.

    Args:
        answer: of a server.
        text: as sent.

    Returns:
        None where the answer has no log-probabilities.
    """
    said = _choice(answer).get("prompt_logprobs") or answer.get("prompt_logprobs")
    if said is None:
        return None
    if not isinstance(said, list) or not said:
        return Malformed("`prompt_logprobs` that are no list")
    given: list[_Given] = [(None, None)] if said[0] is None else []
    for place in said[len(given) :]:
        # The token of the text comes first, before others that were more probable.
        first = next(iter(place.values()), None) if isinstance(place, dict) else None
        if not isinstance(first, dict) or not isinstance(first.get("decoded_token"), str):
            return Malformed("a place of `prompt_logprobs` without `decoded_token` and `logprob`")
        given.append((first["decoded_token"], first.get("logprob")))
    return lay_along(text, given)


def lay_along(text: str, given: Sequence[tuple[str | None, Any]]) -> Read:
    """Return tokens as parts of a text, without those that the server has put before it: as few as can be.

    Tokens are laid along the bytes of the text (UTF-8). One that holds parts of characters is any bytes that decode to
    what it says; which part of a run belongs to which character is not always known: the longest go first.

    Args:
        text: as sent.
        given: token and log-probability; of the first the token may be None, where it is not said.
    """
    nameless = int(len(given) > 1 and given[0] == ("", None))  # a beginning, as those say it that skip special tokens
    most = min(LONGEST_BEGINNING, len(given) - 1)
    for spans in (_spans, _loose_spans):
        for n_before in range(nameless, most + 1):
            own = given[n_before:]
            if _may_stand_before(given[:n_before]):
                ends = _ends(text, [token for token, _ in own], spans)
                if ends is not None:
                    return _checked(ends, [logprob for _, logprob in own], first_may_lack=n_before == 0)
    return OtherText("".join(token or "" for token, _ in given))


def _may_stand_before(tokens: Sequence[tuple[str | None, Any]]) -> bool:
    """Say whether tokens may be what a server puts before a text: a part of its first character is not."""
    return not any(token and PARTIAL in token or (token == "" and logprob is not None) for token, logprob in tokens)


def _checked(ends: list[int], logprobs: list[Any], *, first_may_lack: bool) -> TokenLogprobs | Malformed:
    numbers: list[float | None] = []
    for place, value in enumerate(logprobs):
        if value is None and place == 0 and first_may_lack:
            numbers.append(None)
        elif value is None:
            return Malformed("a null log-probability of a token that is not the first")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not LOWEST < value < math.inf:
            return Malformed(f"the log-probability {str(value)[:20]!r}, which is not a finite number")
        elif value > ROUNDING:
            return Malformed(f"the log-probability {value:g}, which is above 0")
        else:
            numbers.append(min(float(value), 0.0))
    return TokenLogprobs(ends, numbers)


def _ends(text: str, tokens: Sequence[str | None], spans: _Spans) -> list[int] | None:
    """Return where each token of a text ends, in whole characters; None where they do not make it up."""
    if not tokens:
        return None
    data = text.encode(errors="surrogatepass")
    # After each token: where it may end → where the one before it ended.
    reached: list[dict[int, int]] = [{0: 0}]
    for place, token in enumerate(tokens):
        ends: dict[int, int] = {}
        for start in reached[-1]:
            for begin in _begins(data, start) if place and token else [start]:
                for end in spans(data, begin, token):
                    ends.setdefault(end, start)
        reached.append(ends)
    if len(data) not in reached[-1]:
        return None
    found = [len(data)]
    for ends in reached[:1:-1]:
        found.append(ends[found[-1]])
    whole = list(accumulate(len(character.encode(errors="surrogatepass")) for character in text))
    return [bisect_right(whole, end) for end in reversed(found)]


def _begins(data: bytes, start: int) -> Iterator[int]:
    """Yield where a token may begin: at once, or behind spaces that some tokenizers do not say."""
    yield start
    while start < len(data) and data[start : start + 1].isspace():
        start += 1
        yield start


def _spans(data: bytes, begin: int, token: str | None) -> Iterator[int]:
    """Yield where a token may end that begins at a byte, the farthest first."""
    if token is None:  # of one character at least
        yield from (end for end in range(len(data), begin, -1) if end == len(data) or data[end] & 0xC0 != 0x80)
        return
    raw = _raw(token)
    if raw is not None:
        if data.startswith(raw, begin):
            yield begin + len(raw)
        return
    for end in _possible_ends(data, begin, token):
        if data[begin:end].decode(errors="replace") == token:
            yield end


def _loose_spans(data: bytes, begin: int, token: str | None) -> Iterator[int]:
    """Yield the same of servers that say parts of characters in another number."""
    yield from _spans(data, begin, token)
    if token and set(token) == {PARTIAL}:
        yield from (end for end in _possible_ends(data, begin, token) if min(data[begin:end]) >= 0x80)


def _possible_ends(data: bytes, begin: int, token: str) -> Iterator[int]:
    """Yield ends of a token each of whose parts of characters has one byte to three."""
    n_parts = token.count(PARTIAL)
    least = begin + len(token.replace(PARTIAL, "").encode()) + n_parts
    yield from range(min(least + 2 * n_parts, len(data)), least - 1, -1)


def _raw(token: str) -> bytes | None:
    """Return the bytes of a token that says them: as text, or, in OpenAI's form, as ``bytes:`` and their numbers."""
    if RAW.fullmatch(token):
        return bytes.fromhex(token.removeprefix("bytes:").replace("\\x", ""))
    return None if PARTIAL in token else token.encode(errors="surrogatepass")


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _has(said: Any, key: str) -> bool:
    return isinstance(said, dict) and said.get(key) is not None
