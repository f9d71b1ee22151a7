"""Lexicons of subjects and groups: the concepts whose pairs are counted in a corpus and ranked by models.

A lexicon is a table with one concept a row: ``id, name, variants, kind`` and ``name_<language>`` for every further
language. It is read without pandas: Snakemake checks it each time it builds its graph.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from leakscope.counting.normal_form import normalise
from leakscope.errors import InputError
from leakscope.files.tables import read_rows

logger = logging.getLogger(__name__)

COLUMNS = ("id", "name", "variants", "kind")
ENGLISH = "en"
SEPARATOR = "|"
# Shorter ones (AA, MS, flu) are words or abbreviations of much else.
SHORTEST_SAFE = 4
# Words whose first meaning is another one.
AMBIGUOUS = frozenset({"black", "white", "asian", "native", "gay", "straight", "cold", "shock", "stroke", "depression"})
_ID = re.compile(r"[a-z0-9][a-z0-9._/-]*")


class Concept(NamedTuple):
    """One row of a lexicon.

    id: what tables and figures call it.
    names: language → how it stands inside a sentence; ``en`` is the display name.
    variants: further forms that are counted, without the name.
    kind: what kind of concept it is, for a reader; may be empty.
    """

    id: str
    names: Mapping[str, str]
    variants: tuple[str, ...]
    kind: str

    @property
    def terms(self) -> tuple[str, ...]:
        """Every form that counts as a mention, the name first."""
        return (self.names[ENGLISH], *self.variants)


def read_concepts(path: Path) -> tuple[Concept, ...]:
    """Return the concepts of a lexicon file, in its order.

    Raises:
        InputError: a column is missing or unknown; an id, name or variant is empty, untrimmed or stands twice, in one
            concept or in two (compared in the form in which they are counted: ``normal_form``).
    """
    header, rows, numbers, *_ = read_rows(path)
    languages = _languages(path, header)
    concepts: list[Concept] = []
    owners: dict[str, str] = {}
    for number, row in zip(numbers, rows, strict=True):
        concept = _concept(dict(zip(header, row, strict=True)), languages, f"{path}, row {number}")
        if any(concept.id == known.id for known in concepts):
            raise InputError(f"{path}, row {number}: got the id {concept.id!r} again; allowed: each id once.")
        for term in concept.terms:
            if normalise(term) in owners:
                raise _taken(path, number, term, concept.id, owners[normalise(term)])
            owners[normalise(term)] = concept.id
        concepts.append(concept)
    for number, concept in enumerate(concepts, 2):
        # Tables may name a concept by its id, too.
        if owners.get(normalise(concept.id), concept.id) != concept.id:
            raise _taken(path, number, concept.id, concept.id, owners[normalise(concept.id)])
    return tuple(concepts)


def ids_by_name(path: Path) -> dict[str, str]:
    """Return normalised name, variant or id → id."""
    return {normalise(text): concept.id for concept in read_concepts(path) for text in (*concept.terms, concept.id)}


def names_in(path: Path, language: str) -> dict[str, str]:
    """Return id → name inside a sentence of a language.

    Raises:
        InputError: a concept has no name in the language.
    """
    names = {}
    for concept in read_concepts(path):
        if not concept.names.get(language):
            column = "name" if language == ENGLISH else f"name_{language}"
            raise InputError(f"{path}: got no {column} for {concept.id!r}; allowed: a name in every language used.")
        names[concept.id] = concept.names[language]
    return names


def ambiguous_terms(path: Path) -> dict[str, str]:
    """Return the terms that often mean something else, with the id that they are counted for."""
    return {
        term: concept.id
        for concept in read_concepts(path)
        for term in concept.terms
        if term.casefold() in AMBIGUOUS or (len(term) < SHORTEST_SAFE and term.isascii())
    }


def read_names(path: Path) -> dict[str, str]:
    """Return code → name from a table of two columns, the codes first.

    Raises:
        InputError: it has another number of columns, or a code or name is empty, or a code stands twice.
    """
    header, rows, numbers, *_ = read_rows(path)
    if len(header) != 2:
        raise InputError(f"{path}: got the columns {', '.join(header)}; allowed: two, of codes and of names.")
    names: dict[str, str] = {}
    for number, (code, name) in zip(numbers, rows, strict=True):
        if not code or not name:
            raise InputError(f"{path}, row {number}: got {code!r}, {name!r}; allowed: a code and its name.")
        if names.setdefault(code, name) != name:
            raise InputError(f"{path}, row {number}: got {name!r} for {code!r}, which is {names[code]!r} already.")
    return names


def _taken(path: Path, number: int, term: str, concept: str, other: str) -> InputError:
    return InputError(
        f"{path}, row {number}: got {term!r} for {concept!r}, which stands for {other!r} already; "
        "allowed: each name and variant once in a lexicon."
    )


def _languages(path: Path, header: list[str]) -> list[str]:
    for column in header:
        if column not in COLUMNS and not re.fullmatch(r"name_[a-z]{2,3}", column):
            raise InputError(f"{path}: got the column {column!r}; allowed: {', '.join(COLUMNS)}, name_<language>.")
    for column in ("id", "name", "variants"):
        if column not in header:
            raise InputError(f"{path}: lacks the column {column!r}; needed: id, name, variants.")
    return [column.removeprefix("name_") for column in header if column.startswith("name_")]


def _concept(row: Mapping[str, str], languages: list[str], where: str) -> Concept:
    if not _ID.fullmatch(row["id"]):
        raise InputError(
            f"{where}: column 'id': got {row['id']!r}; allowed: lower-case letters, digits, '.', '_', '-', '/'."
        )
    names = {ENGLISH: row["name"], **{language: row[f"name_{language}"] for language in languages}}
    if not row["name"]:
        raise InputError(f"{where}: column 'name': got nothing; allowed: the name as it stands in a sentence.")
    variants = tuple(row["variants"].split(SEPARATOR)) if row["variants"] else ()
    for text in (*names.values(), *variants):
        if text != text.strip():
            raise InputError(f"{where}: got {text!r}, with spaces around it; allowed: trimmed names and variants.")
    if "" in variants:
        raise InputError(
            f"{where}: column 'variants': got an empty one; allowed: texts separated by one {SEPARATOR!r}."
        )
    return Concept(row["id"], names, variants, row.get("kind", ""))
