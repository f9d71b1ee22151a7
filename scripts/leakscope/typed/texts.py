"""Types for files of texts: names of entries, trimmed texts, and texts with gaps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from string import Formatter
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from leakscope.typed.values import LETTERS, Section, mistake
from leakscope.typed.wording import show

Entry = TypeVar("Entry", bound=Section)
_AROUND = "without spaces around it"
_BRACES = "a brace that is meant is doubled"

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", title=f"a name of {LETTERS}")]
Trimmed = Annotated[str, Field(pattern=r"^\S([\s\S]*\S)?$", title=f"text, not empty, {_AROUND}")]


def with_gaps(*names: str, is_trimmed: bool = False) -> Any:
    """Return the constraint on a text that has each of the gaps once, in any order, and no other brace.

    Args:
        names: names of the gaps, written in braces in the text.
        is_trimmed: whether leading and trailing spaces are refused.
    """
    first, last = (r"([^\s{}][^{}]*)?", r"([^{}]*[^\s{}])?") if is_trimmed else (r"[^{}]*", r"[^{}]*")
    orders = "|".join(r"[^{}]*".join(rf"\{{{name}\}}" for name in order) for order in permutations(names))
    once = " once" if len(names) == 1 else ", each once,"
    title = f"a text with {' and '.join(f'{{{name}}}' for name in names)}{once} and no other brace"
    return Field(pattern=f"^{first}({orders}){last}$", title=f"{title}, {_AROUND}" if is_trimmed else title)


def _placeholders(text: str) -> list[str]:
    """Return the names of the ``str.format`` placeholders in a text.

    Raises:
        ValueError: a brace is neither doubled nor part of a placeholder, or a placeholder is more than a name.
    """
    parts = [(str(name), spec, conversion) for _, name, spec, conversion in Formatter().parse(text) if name is not None]
    if any(spec or conversion or not name.isidentifier() for name, spec, conversion in parts):
        raise ValueError("a placeholder is more than a name")
    return [name for name, _, _ in parts]


def _plain(text: str) -> str:
    if _placeholders(text):
        raise ValueError("it has a placeholder")
    return text


def _filled(text: str) -> str:
    if not _placeholders(text):
        raise ValueError("it has no placeholder")
    return text


# Sentences for `str.format`: complete, or to be filled with a term of a lexicon.
Plain = Annotated[
    Trimmed, Field(title=f"text, not empty, {_AROUND} and without a placeholder; {_BRACES}"), AfterValidator(_plain)
]
Filled = Annotated[
    Trimmed,
    Field(title=f"text {_AROUND}, with a placeholder such as {{concept}} and none with a format; {_BRACES}"),
    AfterValidator(_filled),
]


def each_once(*keys: str) -> AfterValidator:
    """Refuse lists in which two entries have the same value of a key."""

    def check(entries: Sequence[Entry]) -> Sequence[Entry]:
        for key in keys:
            seen: set[object] = set()
            for place, entry in enumerate(entries):
                value = getattr(entry, key)
                if value in seen:
                    raise mistake(f"{place}.{key}", f"got {show(value)} again", f"allowed: each {key} once.")
                seen.add(value)
        return entries

    return AfterValidator(check)
