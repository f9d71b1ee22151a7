"""The file format of a language's sentence templates; separate from ``templates``, which every job imports."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leakscope.typed.texts import Id, each_once, with_gaps
from leakscope.typed.values import Absent, Described, Section


class SentenceTemplate(Section):
    """A sentence that joins a subject to a group."""

    id: Id
    """Once in the file."""
    text: Annotated[str, with_gaps("subject", "group")]
    """The sentence, with the gaps `{subject}` and `{group}`, each once."""


class SentenceTemplates(Described):
    """<templates>/<language>.yaml: sentences of one language that join a subject to a group."""

    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$", title="a language code such as en")]
    """The file's name without its suffix."""
    prefix: Absent[Annotated[str, with_gaps("country")]] = None
    """What goes before a sentence when a study names a country."""
    templates: Annotated[list[SentenceTemplate], Field(min_length=1), each_once("id", "text")]
    """The first `ground.templates_used` rank the groups."""
