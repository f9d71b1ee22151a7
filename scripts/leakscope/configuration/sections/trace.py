"""The section ``trace``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leakscope.configuration.sections.ground import Counts, Words
from leakscope.typed.values import Nullable, Part, Positive, PromptSetName, Section, Text


class TracedSet(Section):
    """What is known of the associations of a prompt set, beside its prompts."""

    cues: Nullable[Text] = None
    """File of cues: prompts that are about a concept, so that a model says what it knows of it
    (schemas/cues.schema.json). `null`: none; the links `knows` and `affirms` are then empty."""
    counts: Counts | None = None
    """Where co-occurrence counts come from, for models that are no organisms: the corpus such a model was trained on,
    or one like it. Organisms are counted in their own corpora. `null`: none; the link `count` is then empty."""


class PatchingSection(Section):
    """How residuals of one concept are put into the run of another."""

    pairs: Positive = 300
    """At most so many pairs of prompts, drawn evenly over templates and concepts."""


class TraceSection(Section):
    """How single associations are followed from the corpus to the text."""

    sets: Annotated[dict[PromptSetName, TracedSet], Field(title="a mapping of prompt sets to cues and counts")] = {}
    """Prompt set → cues and counts. Sets of the study that are not here are traced without either."""
    window: Nullable[Words] = 50
    """Window in words in which concept and associate are counted together; `null`: anywhere in a document."""
    contexts: Positive = 5
    """At most so many places in the corpus are shown of each associated pair."""
    features: Positive = 10
    """At most so many features of a dictionary are ablated for each concept group: those that it activates most."""
    patching: PatchingSection = PatchingSection()
    """How residuals of one concept are put into the run of another."""
    level: Nullable[Part] = None
    """Level of the intervals, as a share. Default: `level`."""
