"""What a server's answer says of the tokens of a text: where each ends, and how probable it was after those before it.

Two forms are read. OpenAI's completions, vLLM and llama-cpp-python give ``choices[0].logprobs`` of the text that
``echo`` repeats; vLLM gives ``prompt_logprobs`` of its own, in the choice or beside it. Neither says of a token which
characters are its own in a way that all servers agree on, so that tokens are laid along the text that was sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

# More than rounding puts a log-probability above 0.
ROUNDING = 1e-3
# Nothing is less probable: what servers say for −∞ is −9999, and JSON has integers of any length.
LOWEST = -1e6
# What a server puts before a text has at most so many tokens.
LONGEST_BEGINNING = 2
# What stands for a token that is a part of a character.
PARTIAL = "\N{REPLACEMENT CHARACTER}"


class TokenLogprobs(NamedTuple):
    """The tokens of a text.

    ends: where each of them ends, in characters of the text; it begins where the one before it ends.
    logprobs: of each after those before it, in nats, at most 0; None of the first where nothing stood before it.
    """

    ends: list[int]
    logprobs: list[float | None]


class Malformed(NamedTuple):
    """Log-probabilities that cannot be what they are said to be: why, in a few words."""

    reason: str


class OtherText(NamedTuple):
    """Tokens that do not make up the text that was sent: how they begin."""

    tokens: str


Read = TokenLogprobs | Malformed | OtherText
# A token's text, None where it is not said, and its log-probability.
_Given = tuple[str | None, float | None]


def read_echo(answer: Mapping[str, Any], text: str) -> Read | None:
    """Return the tokens of a text that ``echo`` has repeated, and after which one token was written.

    Args:
        answer: of a server.
        text: that was sent.

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
    """Return the tokens of a text of which vLLM has given ``prompt_logprobs``.

    Args:
        answer: of a server.
        text: that was sent.

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
    """Return tokens as parts of a text, without those that the server has put before it.

    Args:
        text: that was sent.
        given: token and log-probability; of the first the token may be None, where it is not said.
    """
    for n_before in range(min(LONGEST_BEGINNING, len(given) - 1), -1, -1):
        own = given[n_before:]
        ends = _ends(text, [token for token, _ in own]) if _may_stand_before(given[:n_before]) else None
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
            return Malformed(f"the log-probability {str(value)[:20]!r}, which is no number")
        elif value > ROUNDING:
            return Malformed(f"the log-probability {value:g}, which is above 0")
        else:
            numbers.append(min(float(value), 0.0))
    return TokenLogprobs(ends, numbers)


def _ends(text: str, tokens: Sequence[str | None]) -> list[int] | None:
    """Return where each token of a text ends; None where they do not make it up."""
    if not tokens:
        return None
    known = [token for token in tokens if token is not None]
    if len(known) == len(tokens) and "".join(known) == text:
        return list(accumulate(map(len, known)))
    runs = list(_runs(tokens))
    found = re.fullmatch("".join(_pattern(token, is_first=not place) for place, (token, _) in enumerate(runs)), text)
    if found is None:
        return None
    ends: list[int] = []
    for group, (_, n_tokens) in enumerate(runs, 1):
        # Of the tokens of a character all but the last end before it.
        ends += [found.start(group)] * (n_tokens - 1) + [found.end(group)]
    return ends


def _runs(tokens: Sequence[str | None]) -> Iterator[tuple[str | None, int]]:
    """Yield each token and 1, but parts of characters that follow one another as one, with their number."""
    n_parts = 0
    for token in tokens:
        if token is not None and set(token) == {PARTIAL}:
            n_parts += 1
            continue
        if n_parts:
            yield PARTIAL, n_parts
        n_parts = 0
        yield token, 1
    if n_parts:
        yield PARTIAL, n_parts


def _pattern(token: str | None, *, is_first: bool) -> str:
    """Return what a token may be in a text: itself, with the space before it that some tokenizers do not say."""
    if token is None:
        return r"([\s\S]+?)"
    parts = re.split(f"({PARTIAL}+)", token)
    own = "".join(r"[^\x00-\x7f]*?" if PARTIAL in part else re.escape(part) for part in parts)
    return f"({own})" if is_first or not token else rf"(\s*?{own})"


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _has(said: Any, key: str) -> bool:
    return isinstance(said, dict) and said.get(key) is not None
