"""Conversations: prompts with more messages than a system message and a user's turn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Message = dict[str, Any]


class Conversation(NamedTuple):
    """A chat of several turns, usable as a store key.

    system: the system message, which may go into the user's first turn for a server without that role; empty: there is
    none, or it is in ``messages`` because its position is fixed. user: the prompt's part in the user's turn, as errors
    show it. messages: all turns, JSON.
    """

    system: str
    user: str
    messages: str

    @property
    def everything(self) -> list[Message]:
        """All messages."""
        turns: list[Message] = json.loads(self.messages)
        return [{"role": "system", "content": self.system}, *turns] if self.system else turns

    @property
    def roles(self) -> str:
        """The roles of all messages, in words."""
        return ", ".join(each["role"] for each in self.everything)

    def payload(self, *, with_system: bool) -> list[Message]:
        """Return the messages of a request; without a system role, the system message begins the first turn."""
        return self.everything if with_system or not self.system else without_system(self.everything)


def as_conversation(system: str, user: str, turns: Iterable[Mapping[str, Any]]) -> Conversation:
    """Return a conversation of these turns; equal turns give equal text."""
    return Conversation(system, user, json.dumps(list(turns), ensure_ascii=False, sort_keys=True))


def without_system(messages: Sequence[Message]) -> list[Message]:
    """Return messages with any system message moved to the beginning of the next turn."""
    if messages[0]["role"] != "system":
        return list(messages)
    system, first, *others = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *others]
