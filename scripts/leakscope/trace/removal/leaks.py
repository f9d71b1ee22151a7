"""The leak of single test prompts that is specific to the concept, not common to all concepts."""

from __future__ import annotations

import numpy as np
import pandas as pd

CELL = ["split", "template_id", "candidate"]


def leak_values(tests: pd.DataFrame, candidates: pd.DataFrame, shifts: pd.Series) -> pd.Series:
    """Return the leak of each test, in nats, (tests,): mean D of its own group's candidates − mean D of the others.

        L(a) = log p(a | test) − log p(a | control)
        D(a) = L(a) − mean of L(a) over the template's other groups of the split

    D excludes what becomes likelier after every concept of a template, as in a model that ignores concepts. If a split
    has only one group of a template, D = L. The difference is scaled to be x if L is x for own candidates and 0 for
    others.

    Args:
        tests: ``prompt_id, template_id, slot, concept_group, split``.
        candidates: ``slot, candidate, concept_group``.
        shifts: (``prompt_id``, ``candidate``) → L.
    """
    pairs = tests.merge(candidates.rename(columns={"concept_group": "of_group"}), on="slot")
    shift = shifts.reindex(pd.MultiIndex.from_frame(pairs[["prompt_id", "candidate"]])).to_numpy(dtype=float)
    unit = (pairs["of_group"] == pairs["concept_group"]).to_numpy(dtype=float)
    found = _beyond_others(pairs.assign(value=shift)) / _beyond_others(pairs.assign(value=unit))
    return found.reindex(tests["prompt_id"]).set_axis(tests.index)


def _beyond_others(pairs: pd.DataFrame) -> pd.Series:
    """Return prompt → mean D of own candidates less that of others, of ``value`` as L; NaN where one of these is."""
    keys = [*CELL, "concept_group"]
    means = pairs.groupby(keys, dropna=False, sort=False)["value"].agg(_mean).rename("own").reset_index()
    cells = means.groupby(CELL, dropna=False, sort=False)["own"]
    n_others = cells.transform("size") - 1
    others = (cells.transform(lambda own: own.sum(skipna=False)) - means["own"]) / n_others.where(n_others > 0)
    known = pairs.merge(means.assign(others=others.where(n_others > 0, 0.0)), on=keys, how="left")
    side = np.where(known["of_group"] == known["concept_group"], "own", "other")
    sides = (known["value"] - known["others"]).groupby([known["prompt_id"], side]).agg(_mean).unstack()
    return sides["own"] - sides["other"]


def _mean(values: pd.Series) -> float:
    return float(values.mean(skipna=False))
