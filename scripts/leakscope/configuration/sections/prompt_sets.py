"""The section ``prompt_sets``: a catalogue of prompt sets by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leakscope.models.prompts.placing import Place
from leakscope.typed.values import Described, Language, NotNegative, Nullable, Positive, Text


class TemplateSet(Described):
    """Templates whose gaps are filled from lexicons."""

    source: Literal["templates"]
    path: Text
    """Folder that holds `templates.yaml`."""
    place: Place = "user"
    """Where the clause, all but a prompt's last sentence, stands: in the user's turn with the rest, in the system
    message, in what a tool returned, in an earlier turn, or in an example with its answer."""
    language: Language = "en"
    """Of the prompts, and so of the texts after them."""
    concept_language: Nullable[Language] = None
    """Of the concepts, where it is another: a clause in one language before a sentence in the other. `null`: that of
    the prompts."""
    samples: Nullable[Positive] = None
    """Texts from each prompt of this set; `null`: as `generation` says. Of texts written elsewhere the first ones of
    every model; `null`: all that each model has."""
    control_samples: Nullable[Positive] = None
    """Texts from each control without the clause, a multiple of `samples`; `null`: as `generation` says. Of texts
    written elsewhere the first ones; `null`: as many as `samples`, or all."""


class PromptTable(Described):
    """A table of prompts, one in each row."""

    source: Literal["table"]
    path: Text
    """File: CSV, TSV, XLSX, JSONL or Parquet."""
    sheet: Nullable[Text] = None
    """Sheet of an XLSX file; `null`: the first."""
    partners: NotNegative = 0
    """How many prompts are made of each test whose control has no other concept: its own with the concept's words
    replaced by other concepts of its category. A match rate needs them; Leak-Rates leave them out."""
    place: Place = "user"
    """Where the clause, all but a prompt's last sentence, stands: in the user's turn with the rest, in the system
    message, in what a tool returned, in an earlier turn, or in an example with its answer."""
    language: Language = "en"
    """Of the prompts, and so of the texts after them."""
    concept_language: Nullable[Language] = None
    """Of the concepts, where it is another: a clause in one language before a sentence in the other. `null`: that of
    the prompts."""
    samples: Nullable[Positive] = None
    """Texts from each prompt of this set; `null`: as `generation` says. Of texts written elsewhere the first ones of
    every model; `null`: all that each model has."""
    control_samples: Nullable[Positive] = None
    """Texts from each control without the clause, a multiple of `samples`; `null`: as `generation` says. Of texts
    written elsewhere the first ones; `null`: as many as `samples`, or all."""


class InsertedSet(Described):
    """A table of sentences, before which clauses are put that have nothing to do with them."""

    source: Literal["insertions"]
    path: Text
    """File: CSV, TSV, XLSX, JSONL or Parquet, with a column `prompt` or `text`: what the model goes on with. Columns
    `id` and `category` may be there."""
    clauses: Text
    """File: YAML, of the clauses, each with the concept that it expresses, and of neutral ones for controls."""
    sheet: Nullable[Text] = None
    """Sheet of an XLSX file; `null`: the first."""
    language: Language = "en"
    """Of the prompts, and so of the texts after them."""
    concept_language: Nullable[Language] = None
    """Of the concepts and clauses, where it is another; `null`: that of the sentences."""
    samples: Nullable[Positive] = None
    """Texts from each prompt of this set; `null`: as `generation` says. Of texts written elsewhere the first ones of
    every model; `null`: all that each model has."""
    control_samples: Nullable[Positive] = None
    """Texts from each control without the clause, a multiple of `samples`; `null`: as `generation` says. Of texts
    written elsewhere the first ones; `null`: as many as `samples`, or all."""


PromptSet = Annotated[TemplateSet | PromptTable | InsertedSet, Field(discriminator="source")]
