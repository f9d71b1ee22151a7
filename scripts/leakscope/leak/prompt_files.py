"""The files that prompts are made from: templates of a prompt set, lexicons of terms, and facts of a grammar."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue, model_validator

from leakscope.files.names import NOT_GROUPS, POOLED
from leakscope.typed.reading import read_typed
from leakscope.typed.texts import Filled, Id, Plain, Trimmed, each_once
from leakscope.typed.values import Language, Nullable, Section, mistake
from leakscope.typed.wording import show


def _not_pooled(category: str) -> str:
    if category == POOLED:
        raise ValueError("result tables call all categories together so")
    return category


# How a sentence ends, with what closes it.
ENDED = re.compile(r"[.!?…。！？][\"'”’»)\]」』）]*$")

Category = Annotated[
    Trimmed,
    Field(
        title=f"text without spaces around it, other than {POOLED!r}, which stands for every category",
        json_schema_extra={"not": {"const": POOLED}},
    ),
    AfterValidator(_not_pooled),
]


def _one_group(group: str) -> str:
    if group in NOT_GROUPS:
        raise ValueError("texts that name several groups, or none, are counted under it")
    return group


Group = Annotated[
    Trimmed,
    Field(
        title="text without spaces around it, other than 'several' and 'none': texts that name several groups, or none",
        json_schema_extra={"not": {"enum": list(NOT_GROUPS)}},
    ),
    AfterValidator(_one_group),
]


class PromptTemplate(Section):
    """A sentence that is filled with every term of a lexicon, and its two controls. Each ends right before the
    continuation."""

    id: Id
    """Name of the template, once in the file; prompts are called `<id>/<term>`, `<id>/without` and `<id>/neutral`. Of
    terms that differ in signs or case alone (C, C++) the second is called `<id>/<term>-2`, and so on."""
    category: Category
    """Templates of one category are reported together; not `all`, which stands for every category."""
    concepts: Trimmed
    """Lexicon whose terms fill the placeholder."""
    slot: Trimmed
    """Lexicon of the continuations that are counted."""
    test: Filled
    """The sentence with `{concept}`, or another key of the lexicon's terms in braces."""
    control: Plain
    """The same sentence without the clause that names the concept."""
    neutral: Plain
    """The same sentence with a neutral filler in place of the concept."""
    expects_group: bool = False
    """Whether the continuation is expected to be of the concept's own group (a color after a color)."""


class TemplateFile(Section):
    """data/prompt_sets/<prompt set>/templates.yaml: sentences that end right before the continuation."""

    description: Trimmed
    """What the prompt set asks, for people."""
    reviewed: Annotated[bool, Field(title="yes or no")] | Trimmed | None = None
    """Whether a native reader has read the prompts: `no`, `yes`, or by whom and when. Default: nothing is said. Of sets
    with `no` the result page says so."""
    checked: Trimmed | None = None
    """What was done instead of such a reading, in words that the result page repeats where `reviewed` is `no`."""
    templates: Annotated[list[PromptTemplate], Field(min_length=1), each_once("id")]
    """The templates, in the order of tables and figures."""


# What follows a brace in a template: an identifier. `concept` is the term itself.
_KEYS: dict[str, JsonValue] = {"propertyNames": {"pattern": r"^[^\W\d]\w*$", "not": {"const": "concept"}}}


class LexiconTerm(Section, extra="allow", json_schema_extra=_KEYS):
    """A word or phrase. Further keys are text on it, such as the `clause` that uses it; `{clause}` in a template."""

    __pydantic_extra__: dict[str, Trimmed] = Field(init=False)

    term: Trimmed
    """The word or phrase; `{concept}` in a template."""
    group: Group
    """Ties terms of different lexicons together: the concept "golden yellow" and the continuation "a sunflower" share a
    group."""

    @model_validator(mode="after")
    def _has_placeholders_for_keys(self) -> LexiconTerm:
        for key in self.model_extra or {}:
            if not key.isidentifier() or key == "concept":
                raise mistake(key, f"got the key {key!r}", "allowed: an identifier other than 'concept'.")
        return self

    @property
    def fillers(self) -> dict[str, str]:
        """Placeholder → what fills it."""
        return {"concept": self.term, "group": self.group, **(self.model_extra or {})}


class Lexicon(Section):
    """data/lexicons/<lexicon>.yaml: terms that fill the placeholder of a template (concepts), or that may follow it
    (continuations, written with a full stop)."""

    description: Trimmed
    """What the terms have in common, for people."""
    language: Nullable[Language] = None
    """Of the terms; has to be that of the prompt sets that use them. `null`: whichever that is."""
    terms: Annotated[list[LexiconTerm], Field(min_length=1), each_once("term")]
    """The terms, each once, in the order of tables and figures."""


def _ended(clause: str) -> str:
    if not ENDED.search(clause):
        raise ValueError("it is no sentence of its own")
    return clause


Clause = Annotated[
    Trimmed,
    Field(title="a sentence of its own, with its full stop and without spaces around it", pattern=ENDED.pattern),
    AfterValidator(_ended),
]


class InsertedClause(Section):
    """A sentence that is put before others, with which it has nothing to do."""

    clause: Clause
    """The sentence, with its full stop."""
    concept: Trimmed
    """What it expresses: what texts are compared with. Several clauses may express one concept."""
    group: Group
    """Ties concepts together, of which none is told from another of its group."""


class ClauseFile(Section):
    """data/prompt_sets/<prompt set>/clauses.yaml: sentences that `source: insertions` puts before others."""

    description: Trimmed
    """What the clauses have in common, for people."""
    clauses: Annotated[list[InsertedClause], Field(min_length=1), each_once("clause")]
    """The clauses, in the order of prompts."""
    neutral: Annotated[list[Clause], Field(min_length=1)]
    """Clauses that express none of the concepts; each sentence has one of them in its neutral control."""

    @model_validator(mode="after")
    def _has_one_group_a_concept(self) -> ClauseFile:
        groups: dict[str, str] = {}
        for place, clause in enumerate(self.clauses):
            group = groups.setdefault(clause.concept, clause.group)
            if clause.group != group:
                allowed = f"allowed: {group}, the group of {clause.concept} in an earlier clause."
                raise mistake(f"clauses.{place}.group", f"got {show(clause.group)}", allowed)
        return self


class Fact(Section):
    """A sentence and how it ends, written out for every term of a lexicon."""

    id: Id
    """Name of the fact, once in the file."""
    lexicon: Trimmed
    """Lexicon whose terms fill the placeholders."""
    prompt: Filled
    """The sentence, with `{term}` or another key of the lexicon's terms in braces."""
    answer: Filled
    """What follows it, likewise."""


class FactFile(Section):
    """data/grammar/leak/facts.yaml: facts that tie every term to its group."""

    description: Trimmed
    """What the facts are for, for people."""
    facts: Annotated[list[Fact], Field(min_length=1), each_once("id")]
    """The facts, in the order in which they are written out."""


def read_templates(path: Path) -> list[PromptTemplate]:
    """Return the templates of a file, in its order.

    Raises:
        InputError: as ``read_typed``.
    """
    return read_typed(path, TemplateFile).templates


def unreviewed(path: Path) -> str | None:
    """Return what was done instead, where a file of templates says that no native reader has read its prompts.

    Empty where it says no more than that; None where it does not say that.

    Raises:
        InputError: as ``read_typed``.
    """
    file = read_typed(path, TemplateFile)
    return (file.checked or "") if file.reviewed is False else None


def read_lexicon(path: Path) -> list[LexiconTerm]:
    """Return the terms of a lexicon, in its order.

    Raises:
        InputError: as ``read_typed``.
    """
    return read_typed(path, Lexicon).terms


def read_clauses(path: Path) -> ClauseFile:
    """Return the clauses of a file, and its neutral ones.

    Raises:
        InputError: as ``read_typed``.
    """
    return read_typed(path, ClauseFile)
