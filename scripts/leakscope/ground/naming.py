"""One name for one thing: what counts, scores and prevalence call a subject or a group, made the same.

In this order: ``names`` (a code's name), ``rename``, ``exclude``; the same for every table of an axis.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.counting.lexicons import ids_by_name, read_names
from leakscope.counting.normal_form import normalise
from leakscope.errors import InputError

logger = logging.getLogger(__name__)


class Naming(NamedTuple):
    """How the names of one axis are made the same; every name here is that of the lexicon, where there is one.

    names: code → name, of subjects, as written.
    rename: name → name, of subjects.
    groups: name → name, of groups.
    exclude: subjects to leave out, by their name before or after ``rename``.
    subject_ids: normalised name, variant or id → id of the lexicon; empty without one.
    group_ids: likewise.
    """

    names: Mapping[str, str] = {}
    rename: Mapping[str, str] = {}
    groups: Mapping[str, str] = {}
    exclude: frozenset[str] = frozenset()
    subject_ids: Mapping[str, str] = {}
    group_ids: Mapping[str, str] = {}

    def subject(self, written: str) -> str | None:
        """Return what a subject is called, or None if it is left out."""
        name = known_as(self.names.get(written, written), self.subject_ids)
        renamed = self.rename.get(name, name)
        return None if self.exclude & {name, renamed} else renamed

    def group(self, written: str) -> str:
        """Return what a group is called."""
        name = known_as(written, self.group_ids)
        return self.groups.get(name, name)

    def warn_of_strangers(self, subjects: Collection[str], where: str) -> None:
        """Say which names of ``exclude`` and ``rename`` no subject of a table has; without a lexicon nothing else can.

        Args:
            subjects: of the table, by their names as found.
            where: the table.
        """
        known = {known_as(self.names.get(name, name), self.subject_ids) for name in subjects}
        for key, names in (("exclude", self.exclude), ("rename", frozenset(self.rename))):
            strangers = sorted(names - known - frozenset(self.rename.values()))
            if strangers:
                logger.warning("%s: not a subject of %s: %s", key, where, ", ".join(strangers))

    def apply(self, table: pd.DataFrame, keys: Sequence[str], where: str) -> pd.DataFrame:
        """Return a table with its columns ``subject`` and ``group`` renamed, without the rows left out.

        Args:
            table: with the columns ``subject`` and ``group``.
            keys: columns of which no two rows may agree.
            where: the table, in errors.

        Raises:
            InputError: two rows have become one and the same.
        """
        table = table.assign(subject=table["subject"].str.strip(), group=table["group"].str.strip())
        for key in ("subject", "group"):
            if (table[key] == "").any():
                raise InputError(f"{where}: got a {key} without a name; allowed: a name in every row.")
        subject_names = {name: self.subject(name) for name in table["subject"].unique()}
        group_names = {name: self.group(name) for name in table["group"].unique()}
        named = table.assign(subject=table["subject"].map(subject_names), group=table["group"].map(group_names))
        named = named[named["subject"].notna()]
        twice = named[named.duplicated(list(keys), keep=False)]
        if len(twice):
            first = twice.iloc[0]
            same = twice[(twice["subject"] == first["subject"]) & (twice["group"] == first["group"])]
            subjects, groups = (
                " and ".join(map(repr, sorted(set(table.loc[same.index, key])))) for key in ("subject", "group")
            )
            raise InputError(
                f"{where}: got {subjects} with {groups}, which are both "
                f"{first['subject']!r} with {first['group']!r}; allowed: each pair once. Rename or exclude one."
            )
        return named.reset_index(drop=True)


def axis_naming(axis: Mapping[str, Any]) -> Naming:
    """Return the naming of an axis of the configuration.

    Raises:
        InputError: the table of names, or a lexicon, cannot be used.
    """
    lexicons = axis.get("lexicons") or {}
    subject_ids, group_ids = (
        ids_by_name(Path(lexicons[side])) if side in lexicons else {} for side in ("subjects", "groups")
    )
    return Naming(
        names=read_names(Path(axis["names"])) if axis.get("names") else {},
        rename=_known_both(axis.get("rename") or {}, subject_ids),
        groups=_known_both(axis.get("groups") or {}, group_ids),
        exclude=frozenset(known_as(name, subject_ids) for name in axis.get("exclude") or ()),
        subject_ids=subject_ids,
        group_ids=group_ids,
    )


def known_as(name: str, ids: Mapping[str, str]) -> str:
    """Return the lexicon's id of a name, variant or id; without one the name itself, trimmed."""
    return ids.get(normalise(name), name.strip()) if ids else name.strip()


def _known_both(renamed: Mapping[str, str], ids: Mapping[str, str]) -> dict[str, str]:
    return {known_as(old, ids): known_as(new, ids) for old, new in renamed.items()}
