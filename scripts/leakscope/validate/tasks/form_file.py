"""The file format of a task's prompt forms; separate from ``forms``, so that planning a run does not import pandas."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from leakscope.typed.texts import Id, each_once, with_gaps
from leakscope.typed.values import Section, mistake

OfQuestion = Annotated[str, with_gaps("question", is_trimmed=True)]


class GeneratorForm(Section):
    """A text that a candidate goes on from."""

    id: Id
    """Name of the paraphrase, once among the generators."""
    text: OfQuestion
    """A right candidate completes it; with `{question}` once."""
    negated: OfQuestion
    """A wrong candidate completes it; with `{question}` once."""

    @model_validator(mode="after")
    def _is_negated(self) -> GeneratorForm:
        if self.negated == self.text:
            raise mistake("negated", "got the key 'text' again", "allowed: its negation.")
        return self


class ValidatorForm(Section):
    """A text that asks whether a candidate is right, to be answered with Yes or No."""

    id: Id
    """Name of the paraphrase, once among the validators."""
    text: Annotated[str, with_gaps("question", "candidate", is_trimmed=True)]
    """With `{question}` and `{candidate}`, each once."""


class Style(Section):
    """How a form is put to a model: with or without examples, as plain text or as a chat turn."""

    id: Id
    """Name of the style, once in the file."""
    shots: Annotated[int, Field(ge=0, multiple_of=2, title="an even number of at least 0")]
    """Examples before the prompt, from items of other clusters. Validators show as many with Yes as with No, so the
    number is even."""
    chat: bool
    """Whether the text is a user's turn that goes through the model's chat template."""
    template: Annotated[str, with_gaps("prompt", is_trimmed=True)]
    """The text that is put to the model, `{prompt}` in it once: examples and prompt."""


class FormFile(Section):
    """data/validate/forms/<task>.yaml: how a task's items are put to a model. Every paraphrase is rendered in every
    style."""

    description: Annotated[str, Field(pattern=r"\S", title="text, not empty")]
    """What the task asks, for people."""
    generators: Annotated[list[GeneratorForm], Field(min_length=1), each_once("id")]
    """Texts that a candidate goes on from."""
    validators: Annotated[list[ValidatorForm], Field(min_length=1), each_once("id")]
    """Texts that ask whether a candidate is right, to be answered with Yes or No."""
    styles: Annotated[list[Style], Field(min_length=1), each_once("id")]
    """How forms are put to a model: with or without examples, as plain text or as a chat turn."""
