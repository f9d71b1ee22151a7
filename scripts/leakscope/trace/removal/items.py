"""The selection and evaluation splits of mitigations: test prompts in two halves, and prompts of use.

A test prompt is in a split if both its template and its concept group are: neither templates *nor* concepts of the
evaluation influence selection. Other prompts are excluded, as are templates whose candidates answer a prompt of use.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.statistics.seeding import seeded_hash
from leakscope.trace.cues import CANDIDATE_COLUMNS, tested
from leakscope.trace.removal.columns import SPLITS


class Items(NamedTuple):
    """Prompts of one prompt set, all tables with the columns of the prompts table.

    tests: with a control of the same template, ``control_id``, and ``split``. controls: their distinct controls.
    candidates: ``slot, candidate, concept_group`` of both. use: prompts whose right answer needs the concept, with
    ``answer``, ``split``, and ``control_id``; their
        ``template_id`` is the form, their ``slot`` a lexicon of their own answers.
    use_controls: the same without the concept. use_candidates: ``slot, candidate`` of these. every: all prompts of the
    set with a control, in a split or not; every_controls: their distinct controls. Mitigations defined by texts get all
    of them, so that the mitigated model covers the whole set.
    """

    tests: pd.DataFrame
    controls: pd.DataFrame
    candidates: pd.DataFrame
    use: pd.DataFrame
    use_controls: pd.DataFrame
    use_candidates: pd.DataFrame
    every: pd.DataFrame
    every_controls: pd.DataFrame

    def of(self, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the tests and the prompts of use of a split."""
        return self.tests[self.tests["split"] == split], self.use[self.use["split"] == split]

    def only(self, split: str) -> Items:
        """Return the items with a split's tests, their controls, and its prompts of use."""
        tests, use = self.of(split)
        controls = self.controls[self.controls["prompt_id"].isin(tests["control_id"])]
        return self._replace(tests=tests, controls=controls, use=use)


def split_items(
    prompts: pd.DataFrame, candidates: pd.DataFrame, use: pd.DataFrame, use_candidates: pd.DataFrame, seed: int
) -> Items:
    """Return a prompt set's tests and prompts of use, each assigned to a split.

    Templates and concept groups are halved within categories; a prompt of use is in the split of its group. Tests have
    candidates from their own group and from another.

    Args:
        prompts: the prompts table of the set.
        candidates: ``slot, candidate, concept_group``.
        use: as ``use.build_use`` returns it; no rows if the set has none.
        use_candidates: as for the argument before.
        seed: of the halves.

    Raises:
        InputError: a split has no test.
    """
    every, with_control = tested(prompts), prompts[prompts["control_id"].notna()]
    groups = group_halves(every, seed)
    answering = candidates["candidate"].isin(use["answer"].dropna())
    tests = every[~every["slot"].isin(candidates.loc[answering, "slot"]) & _has_contrast(every, candidates)]
    templates = _halves(tests, "template_id", seed)
    own, other = tests["template_id"].map(templates), tests["concept_group"].map(groups)
    tests = tests.assign(split=own)[own == other].reset_index(drop=True)
    for split in SPLITS:
        if not (tests["split"] == split).any():
            found = f"{prompts['prompt_set'].iloc[0]}: got no test prompt in the {split} split"
            raise InputError(f"{found}; allowed: prompt sets with two templates and two concept groups or more.")
    controls = prompts[prompts["prompt_id"].isin(tests["control_id"])].drop_duplicates("prompt_id")
    asked = use[use["answer"].notna()]
    return Items(
        tests,
        controls.reset_index(drop=True),
        candidates.loc[candidates["slot"].isin(tests["slot"]), CANDIDATE_COLUMNS].reset_index(drop=True),
        asked.assign(split=asked["concept_group"].map(groups)).reset_index(drop=True),
        use[use["prompt_id"].isin(asked["control_id"])].reset_index(drop=True),
        use_candidates.reset_index(drop=True),
        with_control.reset_index(drop=True),
        prompts[prompts["prompt_id"].isin(with_control["control_id"])].drop_duplicates("prompt_id"),
    )


def group_halves(tests: pd.DataFrame, seed: int) -> dict[str, str]:
    """Return concept group → split: half of each category, in random order.

    Args:
        tests: ``category, concept_group``.
        seed: of the order.
    """
    return _halves(tests, "concept_group", seed)


def _halves(table: pd.DataFrame, column: str, seed: int) -> dict[str, str]:
    """Return name → split; names assigned in an earlier category keep their split, and odd categories balance out."""
    halves, turns = dict[str, str](), cycle(SPLITS)
    for _, part in table.groupby("category", sort=False, dropna=False):
        names: Iterable[str] = sorted(set(part[column]) - set(halves))
        for name in sorted(names, key=lambda name: seeded_hash(seed, column, name)):
            halves[name] = next(turns)
    return halves


def _has_contrast(tests: pd.DataFrame, candidates: pd.DataFrame) -> pd.Series:
    """Return which tests have candidates from their own group and from another."""
    counts = candidates.groupby(["slot", "concept_group"]).size()
    n_own = counts.reindex(pd.MultiIndex.from_frame(tests[["slot", "concept_group"]])).fillna(0).to_numpy()
    n_all = tests["slot"].map(candidates["slot"].value_counts()).fillna(0)
    return pd.Series((n_own > 0) & (n_own < n_all), tests.index)
