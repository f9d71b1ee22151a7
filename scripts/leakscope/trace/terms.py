"""The counted terms of a prompt set: concepts and associates, as lexicons of the step ``ground``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from itertools import count
from typing import NamedTuple

import pandas as pd

from leakscope.counting.lexicons import SEPARATOR
from leakscope.counting.normal_form import normalise

COLUMNS = ["id", "name", "variants", "kind"]
# Plurals also count: a text about lilies is about a lily.
ARTICLE = re.compile(r"^(?:an?|the|some) (?=\S)", re.IGNORECASE)


class CountedTerms(NamedTuple):
    """Two lexicons, ``id, name, variants, kind``: ``name`` is the concept group, or the associate as written."""

    concepts: pd.DataFrame
    associates: pd.DataFrame


def counted_terms(prompts: pd.DataFrame, candidates: pd.DataFrame) -> CountedTerms:
    """Return the counted terms of a prompt set.

    A concept group is mentioned by its own name and by each of its concepts. An associate is mentioned with or without
    its article. Associates that are terms of a concept (a color after a color) are not counted: each mention would also
    be the concept's.

    Args:
        prompts: ``concept, concept_group``.
        candidates: ``candidate, concept_group``.
    """
    tests = prompts[prompts["concept_group"].notna()]
    groups = {
        str(group): [str(group), *map(str, rows["concept"].unique())]
        for group, rows in tests.groupby("concept_group", sort=False)
    }
    taken: set[str] = set()
    concepts = _lexicon(groups.items(), "concept", taken)
    texts = candidates["candidate"].drop_duplicates()
    associates = _lexicon(((text, [text, ARTICLE.sub("", text)]) for text in texts), "associate", taken)
    return CountedTerms(concepts, associates)


def _lexicon(entries: Iterable[tuple[str, list[str]]], kind: str, taken: set[str]) -> pd.DataFrame:
    """Return a lexicon of names and their terms, without terms that other names have; a taken name has no row."""
    known: dict[str, list[str]] = {}
    for name, terms in entries:
        if normalise(name) in taken:
            continue
        free = {normalise(term): term for term in reversed(terms) if normalise(term) not in taken}
        taken.update(free)
        known[name] = [term for form, term in reversed(free.items()) if form != normalise(name)]
    owners = {normalise(term): name for name, variants in known.items() for term in (name, *variants)}
    ids: set[str] = set()
    rows = [(_new_id(name, ids, owners), name, SEPARATOR.join(variants), kind) for name, variants in known.items()]
    return pd.DataFrame(rows, columns=COLUMNS, dtype="str")


def _new_id(name: str, ids: set[str], owners: Mapping[str, str]) -> str:
    """Return an id that is neither another name's id nor a term of another name: letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "term"
    numbered = (slug if n == 1 else f"{slug}-{n}" for n in count(1))
    found = next(id_ for id_ in numbered if id_ not in ids and owners.get(id_, name) == name)
    ids.add(found)
    return found
