"""One name for one thing: what counts, scores and prevalence call a subject or a group, made the same.

In this order: ``names`` (a code's name), ``rename``, the lexicon's id, ``exclude``; the same for every table of an
axis.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.ground.lexicons import read_concepts, read_names

logger = logging.getLogger(__name__)


class Naming(NamedTuple):
    """How the names of one axis are made the same.

    names: code → name, of subjects.
    rename: name → name, of subjects.
    groups: name → name, of groups.
    exclude: subjects to leave out, by their name before or after ``rename``.
    subject_ids: name or variant in lower case → id of the lexicon, where there is one.
    group_ids: likewise.
    """

    names: Mapping[str, str] = {}
    rename: Mapping[str, str] = {}
    groups: Mapping[str, str] = {}
    exclude: frozenset[str] = frozenset()
    subject_ids: Mapping[str, str] = {}
    group_ids: Mapping[str, str] = {}

    def subject(self, found: str) -> str | None:
        """Return what a subject is called, or None if it is left out."""
        name = self.names.get(found, found)
        renamed = self.rename.get(name, name)
        known = self.subject_ids.get(renamed.casefold(), renamed)
        return None if self.exclude & {name, renamed, known} else known

    def group(self, found: str) -> str:
        """Return what a group is called."""
        name = self.groups.get(found, found)
        return self.group_ids.get(name.casefold(), name)

    def apply(self, table: pd.DataFrame, keys: Sequence[str], where: str) -> pd.DataFrame:
        """Return a table with its columns ``subject`` and ``group`` renamed, without the rows left out.

        Args:
            table: with the columns ``subject`` and ``group``.
            keys: columns of which no two rows may agree.
            where: the table, in errors.

        Raises:
            InputError: two rows have become one and the same.
        """
        subjects = {name: self.subject(name) for name in table["subject"].unique()}
        groups = {name: self.group(name) for name in table["group"].unique()}
        named = table.assign(subject=table["subject"].map(subjects), group=table["group"].map(groups))
        named = named[named["subject"].notna()]
        twice = named[named.duplicated(list(keys), keep=False)]
        if len(twice):
            first = twice.iloc[0]
            same = twice[(twice["subject"] == first["subject"]) & (twice["group"] == first["group"])]
            found = sorted(set(table.loc[same.index, "subject"])), sorted(set(table.loc[same.index, "group"]))
            raise InputError(
                f"{where}: got {' and '.join(map(repr, found[0]))} with {' and '.join(map(repr, found[1]))}, which are "
                f"both {first['subject']!r} with {first['group']!r}; allowed: each pair once. Rename or exclude one."
            )
        return named.reset_index(drop=True)


def axis_naming(axis: Mapping[str, object]) -> Naming:
    """Return the naming of an axis of the configuration.

    Raises:
        InputError: the table of names, or a lexicon, cannot be used.
    """
    lexicons = axis.get("lexicons")
    ids = {key: _ids(Path(path)) for key, path in lexicons.items()} if isinstance(lexicons, Mapping) else {}
    names, rename, groups, exclude = (axis.get(key) for key in ("names", "rename", "groups", "exclude"))
    return Naming(
        names=read_names(Path(str(names))) if names else {},
        rename=rename if isinstance(rename, Mapping) else {},
        groups=groups if isinstance(groups, Mapping) else {},
        exclude=frozenset(exclude if isinstance(exclude, Sequence) else ()),
        subject_ids=ids.get("subjects", {}),
        group_ids=ids.get("groups", {}),
    )


def _ids(path: Path) -> dict[str, str]:
    ids = {}
    for concept in read_concepts(path):
        for text in (*concept.terms, concept.id):
            ids[text.casefold()] = concept.id
    return ids
