"""Unifying the names of subjects and groups in counts, scores and prevalence.

Applied in this order to every table of an axis: ``names`` (code → name), ``rename``, ``exclude``.
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
    """The rules that unify the names of one axis; names are ids of the lexicon, if there is one.

    names: code → name of subjects, as written.
    rename: name → new name of subjects.
    groups: name → new name of groups.
    exclude: subjects to drop, by their name before or after ``rename``.
    subject_ids: normalised name, variant or id → id in the lexicon of subjects; empty without a lexicon.
    group_ids: normalised name, variant or id → id in the lexicon of groups; empty without a lexicon.
    """

    names: Mapping[str, str] = {}
    rename: Mapping[str, str] = {}
    groups: Mapping[str, str] = {}
    exclude: frozenset[str] = frozenset()
    subject_ids: Mapping[str, str] = {}
    group_ids: Mapping[str, str] = {}

    def subject(self, written: str) -> str | None:
        """Return the unified name of a subject, or None if it is excluded."""
        name = known_as(self.names.get(written, written), self.subject_ids)
        renamed = self.rename.get(name, name)
        return None if self.exclude & {name, renamed} else renamed

    def group(self, written: str) -> str:
        """Return the unified name of a group."""
        name = known_as(written, self.group_ids)
        return self.groups.get(name, name)

    def warn_of_strangers(self, subjects: Collection[str], where: str) -> None:
        """Warn about names in ``exclude`` and ``rename`` that are not subjects of a table, which may be misspelt.

        Args:
            subjects: the table's subjects, as written.
            where: the table.
        """
        known = {known_as(self.names.get(name, name), self.subject_ids) for name in subjects}
        for key, names in (("exclude", self.exclude), ("rename", frozenset(self.rename))):
            strangers = sorted(names - known - frozenset(self.rename.values()))
            if strangers:
                logger.warning("%s: not subjects of %s: %s", key, where, ", ".join(strangers))

    def apply(self, table: pd.DataFrame, keys: Sequence[str], where: str) -> pd.DataFrame:
        """Return a table with unified names in ``subject`` and ``group``, without excluded subjects.

        Args:
            table: with the columns ``subject`` and ``group``.
            keys: columns that must identify a row.
            where: the table, in errors.

        Raises:
            InputError: a name is empty, or two rows have the same keys after renaming.
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
                f"{where}: got {subjects} with {groups}, all named "
                f"{first['subject']!r} with {first['group']!r}; allowed: each pair once. Rename or exclude one."
            )
        return named.reset_index(drop=True)


def axis_naming(axis: Mapping[str, Any]) -> Naming:
    """Return the naming rules of an axis in the configuration.

    Raises:
        InputError: the table of names or a lexicon is invalid.
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
    """Return the lexicon's id for a name, variant or id; an unknown name itself, trimmed."""
    return ids.get(normalise(name), name.strip()) if ids else name.strip()


def _known_both(renamed: Mapping[str, str], ids: Mapping[str, str]) -> dict[str, str]:
    return {known_as(old, ids): known_as(new, ids) for old, new in renamed.items()}
