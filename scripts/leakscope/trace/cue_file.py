"""The format of cue files; separate from ``cues``, so that planning a run does not import pandas."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leakscope.typed.texts import Id, Trimmed, each_once, with_gaps
from leakscope.typed.values import Section


class KnowsForm(Section):
    """A text about a concept that is completed by an associate."""

    id: Id
    """Name of the wording, unique in the slot."""
    text: Annotated[str, with_gaps("concept", is_trimmed=True)]
    """The text, with `{concept}` once; it ends right before the associate."""


class AffirmsForm(Section):
    """A yes/no question whether concept and associate belong together."""

    id: Id
    """Name of the wording, unique in its list."""
    text: Annotated[str, with_gaps("concept", "associate", is_trimmed=True)]
    """The question, with `{concept}` and `{associate}` once each."""


class SlotCues(Section):
    """The cues of one slot: prompts about a concept that an associate of this slot answers."""

    slot: Trimmed
    """Lexicon of continuations, as in the `slot` of the prompt set's templates."""
    knows: Annotated[list[KnowsForm], Field(min_length=1), each_once("id")]
    """Texts that an associate completes; results are averaged over wordings."""
    affirms: Annotated[list[AffirmsForm], Field(min_length=1), each_once("id")] | None = None
    """Questions of this slot, instead of the file's."""


class CueFile(Section):
    """data/trace/<prompt set>.yaml: prompts about the concepts of a prompt set that test a model's knowledge."""

    description: Trimmed
    """Description of the cues, for readers."""
    affirms: Annotated[list[AffirmsForm], each_once("id")] = []
    """Questions of every slot without its own; if there are none, the link `affirms` is empty."""
    slots: Annotated[list[SlotCues], Field(min_length=1), each_once("slot")]
    """Cues by slot. A slot without an entry has no link `knows`."""
