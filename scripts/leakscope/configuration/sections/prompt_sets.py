"""The section ``prompt_sets``: a catalogue of prompt sets by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leakscope.models.prompts.placing import Place
from leakscope.typed.values import Described, Language, NotNegative, Nullable, Positive, Text


class TemplateSet(Described):
    """Templates whose slots are filled from lexicons."""

    source: Literal["templates"]
    path: Text
    """Folder that holds `templates.yaml`."""
    place: Place = "user"
    """Where the clause (all of a prompt but its last sentence) goes: into the user's turn with the rest, the system
    message, a tool's result, an earlier turn, or an example with its answer."""
    language: Language = "en"
    """Language of the prompts and generated texts."""
    concept_language: Nullable[Language] = None
    """Language of the concepts, if it differs: a clause in one language before a sentence in another. `null`: the
    prompts' language."""
    samples: Nullable[Positive] = None
    """Texts per prompt of this set; `null`: as `generation` says. Of imported texts, the first ones of each model are
    used; `null`: all."""
    control_samples: Nullable[Positive] = None
    """Texts per control without the clause, a multiple of `samples`; `null`: as `generation` says. Of imported texts,
    the first ones are used; `null`: as many as `samples`, or all."""


class PromptTable(Described):
    """A table of prompts, one per row."""

    source: Literal["table"]
    path: Text
    """CSV, TSV, XLSX, JSONL or Parquet file."""
    sheet: Nullable[Text] = None
    """Sheet of an XLSX file; `null`: the first."""
    partners: NotNegative = 0
    """Partner prompts made for each test prompt whose control has no concept, by putting other concepts of its category
    in place of its own. Match rates need them; Leak-Rates ignore them."""
    place: Place = "user"
    """Where the clause (all of a prompt but its last sentence) goes: into the user's turn with the rest, the system
    message, a tool's result, an earlier turn, or an example with its answer."""
    language: Language = "en"
    """Language of the prompts and generated texts."""
    concept_language: Nullable[Language] = None
    """Language of the concepts, if it differs: a clause in one language before a sentence in another. `null`: the
    prompts' language."""
    samples: Nullable[Positive] = None
    """Texts per prompt of this set; `null`: as `generation` says. Of imported texts, the first ones of each model are
    used; `null`: all."""
    control_samples: Nullable[Positive] = None
    """Texts per control without the clause, a multiple of `samples`; `null`: as `generation` says. Of imported texts,
    the first ones are used; `null`: as many as `samples`, or all."""


class InsertedSet(Described):
    """A table of sentences, each preceded by unrelated clauses."""

    source: Literal["insertions"]
    path: Text
    """CSV, TSV, XLSX, JSONL or Parquet file with a column `prompt` or `text`, which the model continues. Columns `id`
    and `category` are optional."""
    clauses: Text
    """YAML file of the clauses, each with the concept that it expresses, and of neutral clauses for controls."""
    sheet: Nullable[Text] = None
    """Sheet of an XLSX file; `null`: the first."""
    language: Language = "en"
    """Language of the prompts and generated texts."""
    concept_language: Nullable[Language] = None
    """Language of the concepts and clauses, if it differs; `null`: the sentences' language."""
    samples: Nullable[Positive] = None
    """Texts per prompt of this set; `null`: as `generation` says. Of imported texts, the first ones of each model are
    used; `null`: all."""
    control_samples: Nullable[Positive] = None
    """Texts per control without the clause, a multiple of `samples`; `null`: as `generation` says. Of imported texts,
    the first ones are used; `null`: as many as `samples`, or all."""


PromptSet = Annotated[TemplateSet | PromptTable | InsertedSet, Field(discriminator="source")]
