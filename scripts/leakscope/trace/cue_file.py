"""The file of a prompt set's cues; apart from what writes prompts from it, so that planning a run imports no tables."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leakscope.typed.texts import Id, Trimmed, each_once, with_gaps
from leakscope.typed.values import Section


class KnowsForm(Section):
    """A text about a concept that one of its associates completes."""

    id: Id
    """Name of the wording, once in the slot."""
    text: Annotated[str, with_gaps("concept", is_trimmed=True)]
    """With `{concept}` once; it ends right before the associate."""


class AffirmsForm(Section):
    """A question whether concept and associate belong together, to be answered with Yes or No."""

    id: Id
    """Name of the wording, once in its list."""
    text: Annotated[str, with_gaps("concept", "associate", is_trimmed=True)]
    """With `{concept}` and `{associate}`, each once."""


class SlotCues(Section):
    """The cues of one slot: what is asked about a concept so that an associate of this slot answers."""

    slot: Trimmed
    """Lexicon of continuations that templates of the prompt set name as their `slot`."""
    knows: Annotated[list[KnowsForm], Field(min_length=1), each_once("id")]
    """Texts that an associate completes; several wordings, of which the mean is taken."""
    affirms: Annotated[list[AffirmsForm], Field(min_length=1), each_once("id")] | None = None
    """Questions of this slot, in place of those of the whole file."""


class CueFile(Section):
    """data/trace/<prompt set>.yaml: what is asked about the concepts of a prompt set, to see what a model knows."""

    description: Trimmed
    """What the cues ask, for people."""
    affirms: Annotated[list[AffirmsForm], each_once("id")] = []
    """Questions of every slot that has none of its own; none: the link `affirms` stays empty."""
    slots: Annotated[list[SlotCues], Field(min_length=1), each_once("slot")]
    """Cues by slot. A slot without an entry has no link `knows`."""
