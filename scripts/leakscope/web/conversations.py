"""What a chat model is asked in more messages than a system message and the user's turn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Message = dict[str, Any]


class Conversation(NamedTuple):
    """A chat of several turns, as the key of what is stored of it.

    system: the system message, which a server without that role may get in the user's first turn; empty: there is none,
        or it must stay where it is, and is one of ``messages``.
    user: the prompt's part in the user's turn, as errors show it.
    messages: all turns, JSON.
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
        """Return the messages of a request; without a system role that message begins the first turn."""
        return self.everything if with_system or not self.system else without_system(self.everything)


def as_conversation(system: str, user: str, turns: Iterable[Mapping[str, Any]]) -> Conversation:
    """Return a conversation of these turns, the same text for the same ones."""
    return Conversation(system, user, json.dumps(list(turns), ensure_ascii=False, sort_keys=True))


def without_system(messages: Sequence[Message]) -> list[Message]:
    """Return messages whose system message, if any, stands at the beginning of the first turn after it."""
    if messages[0]["role"] != "system":
        return list(messages)
    system, first, *others = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *others]
