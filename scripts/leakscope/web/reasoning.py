"""Thoughts in what a server sends: in a key of their own, or between marks inside the content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# What servers call the thought, where they tell it apart: vLLM and DeepSeek; OpenRouter, Ollama and newer vLLM.
REASONING = ("reasoning_content", "reasoning")


class ToldApart(NamedTuple):
    """A thought and an answer, both stripped, and whether the thought has ended; if not, there is no answer."""

    thought: str
    answer: str
    finished: bool


def told_apart(content: str, reasoning: str, marks: Sequence[tuple[str, str]], at_length: bool) -> ToldApart:
    """Return thought and answer of a message.

    Content may begin inside a thought, where the server's template has written the beginning. A thought has not ended
    where nothing follows that is told apart from it; nor has a text that ends at the most tokens without its end. What
    has no thought and ends by itself is an answer.

    Args:
        content: of the message; empty where there is none.
        reasoning: the thought that the server tells apart; empty where it does not.
        marks: what thoughts may stand between in the content.
        at_length: whether the text ended because it had the most tokens that it may have.
    """
    if reasoning.strip():
        return ToldApart(reasoning.strip(), content.strip(), bool(content.strip()))
    found = [(content.find(end), begin, end) for begin, end in marks if end in content]
    if found:
        place, begin, end = min(found)
        return ToldApart(_without(begin, content[:place]), content[place + len(end) :].strip(), True)
    begun = [begin for begin, _ in marks if content.lstrip().startswith(begin)]
    if begun or at_length:
        return ToldApart(_without(begun[0] if begun else "", content), "", False)
    return ToldApart("", content.strip(), True)


def _without(begin: str, thought: str) -> str:
    return thought.strip().removeprefix(begin).strip()
