"""Lexicons of subjects and groups: the concepts whose pairs are counted in a corpus and ranked by models.

A lexicon is a table with one concept per row: ``id, name, variants, kind``, and ``name_<language>`` for every further
language. It is read without pandas, because Snakemake checks it each time it builds its graph.
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
# Shorter terms (AA, MS, flu) are often other words or abbreviations.
SHORTEST_SAFE = 4
# Words whose most common meaning is another one.
AMBIGUOUS = frozenset({"black", "white", "asian", "native", "gay", "straight", "cold", "shock", "stroke", "depression"})
_ID = re.compile(r"[a-z0-9][a-z0-9._/-]*")


class Concept(NamedTuple):
    """One row of a lexicon.

    id: used in tables and figures.
    names: language → form inside a sentence; ``en`` is the display name.
    variants: further forms that are counted, without the name.
    kind: the kind of concept, for readers; may be empty.
    """

    id: str
    names: Mapping[str, str]
    variants: tuple[str, ...]
    kind: str

    @property
    def terms(self) -> tuple[str, ...]:
        """All forms that count as mentions, the name first."""
        return (self.names[ENGLISH], *self.variants)


def read_concepts(path: Path) -> tuple[Concept, ...]:
    """Return the concepts of a lexicon file, in the order of its rows.

    Raises:
        InputError: a column is missing or unknown; an id, name or variant is empty, untrimmed or repeated, within a
            concept or between concepts (compared after ``normal_form.normalise``).
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
        # Tables may also refer to a concept by its id.
        if owners.get(normalise(concept.id), concept.id) != concept.id:
            raise _taken(path, number, concept.id, concept.id, owners[normalise(concept.id)])
    return tuple(concepts)


def ids_by_name(path: Path) -> dict[str, str]:
    """Return normalised name, variant or id → id, to look up concepts in other tables."""
    return {normalise(text): concept.id for concept in read_concepts(path) for text in (*concept.terms, concept.id)}


def names_in(path: Path, language: str) -> dict[str, str]:
    """Return id → name inside a sentence in the given language.

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
    """Return ambiguous term → id of its concept; use it to warn about terms that often mean something else."""
    return {
        term: concept.id
        for concept in read_concepts(path)
        for term in concept.terms
        if term.casefold() in AMBIGUOUS or (len(term) < SHORTEST_SAFE and term.isascii())
    }


def read_names(path: Path) -> dict[str, str]:
    """Return code → name from a table with two columns, codes and names.

    Raises:
        InputError: the table has another number of columns, a code or name is empty, or a code has two names.
    """
    header, rows, numbers, *_ = read_rows(path)
    if len(header) != 2:
        raise InputError(f"{path}: got the columns {', '.join(header)}; allowed: two columns, codes and names.")
    names: dict[str, str] = {}
    for number, (code, name) in zip(numbers, rows, strict=True):
        if not code or not name:
            raise InputError(f"{path}, row {number}: got {code!r}, {name!r}; allowed: a code and its name.")
        if names.setdefault(code, name) != name:
            raise InputError(
                f"{path}, row {number}: got {name!r} for {code!r}, after {names[code]!r} in an earlier row; allowed: "
                "one name per code."
            )
    return names


def _taken(path: Path, number: int, term: str, concept: str, other: str) -> InputError:
    return InputError(
        f"{path}, row {number}: got {term!r} for {concept!r}, already a term of {other!r}; "
        "allowed: each name and variant once in a lexicon."
    )


def _languages(path: Path, header: list[str]) -> list[str]:
    for column in header:
        if column not in COLUMNS and not re.fullmatch(r"name_[a-z]{2,3}", column):
            raise InputError(f"{path}: got the column {column!r}; allowed: {', '.join(COLUMNS)}, name_<language>.")
    for column in ("id", "name", "variants"):
        if column not in header:
            raise InputError(f"{path}: got no column {column!r}; allowed: tables with id, name and variants.")
    return [column.removeprefix("name_") for column in header if column.startswith("name_")]


def _concept(row: Mapping[str, str], languages: list[str], where: str) -> Concept:
    if not _ID.fullmatch(row["id"]):
        raise InputError(
            f"{where}: column 'id': got {row['id']!r}; allowed: lower-case letters, digits, '.', '_', '-', '/'."
        )
    names = {ENGLISH: row["name"], **{language: row[f"name_{language}"] for language in languages}}
    if not row["name"]:
        raise InputError(f"{where}: column 'name': got nothing; allowed: the name as written inside a sentence.")
    variants = tuple(row["variants"].split(SEPARATOR)) if row["variants"] else ()
    for text in (*names.values(), *variants):
        if text != text.strip():
            raise InputError(f"{where}: got {text!r}; allowed: names and variants without leading or trailing spaces.")
    if "" in variants:
        raise InputError(
            f"{where}: column 'variants': got an empty variant; allowed: texts separated by single {SEPARATOR!r}."
        )
    return Concept(row["id"], names, variants, row.get("kind", ""))
