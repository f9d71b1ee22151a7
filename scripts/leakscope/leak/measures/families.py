"""Which tests are corrected together: one family, named before the texts are there, by Holm; all others by their table.

A study of six models, three scorers and four categories makes some hundred tests. Corrected all together none could
reach .05 on ten templates; corrected in small families one of these would do so by chance. So one family is primary:
of the match rate, of few rows, each test with its p-value under Holm's correction. What the others show is a finding to
be looked at: they are corrected all together, for any dependence, by Benjamini and Yekutieli.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.errors import InputError, one_of
from leakscope.files.names import POOLED
from leakscope.statistics.permutations import Floats, benjamini_yekutieli, holm

PRIMARY, OTHER = "primary", "other"

Chosen = Mapping[str, Sequence[str]]
"""Key of a table (``prompt_set, scorer, category, model``) → the names that belong to the primary family."""


def in_primary(table: pd.DataFrame, chosen: Chosen | None) -> NDArray[np.bool_]:
    """Return which rows belong to the primary family, (rows,).

    Args:
        table: ``prompt_set, scorer, category`` and ``model``, or ``model_a, model_b``, of which both must be chosen;
            with ``measure`` match rates alone belong to it.
        chosen: the names; of a key that is not there all. None: ``all`` of each prompt set, by the first scorer.
    """
    if chosen is None:
        chosen = {"category": [POOLED], "scorer": table["scorer"].iloc[:1].tolist()}
    inside = np.ones(len(table), dtype=bool)
    if "measure" in table:
        inside &= table["measure"].eq("match_rate").to_numpy()
    for key, names in chosen.items():
        for column in [key] if key in table else [f"{key}_a", f"{key}_b"]:
            inside &= table[column].isin(list(names)).to_numpy()
    return inside


def check_primary(table: pd.DataFrame, chosen: Chosen) -> None:
    """Raise for a family without tests.

    Args:
        table: of tests against 50, ``prompt_set, scorer, category, model``.
        chosen: the family.

    Raises:
        InputError: a category is not among those of the table, or of the prompt sets of the family.
    """
    known = list(table["category"].unique())
    for name in chosen["category"]:
        if known and name not in known:
            raise one_of("leak.primary.categories", name, known)
    if known and chosen["model"] and not in_primary(table, chosen).any():
        there = table[table["prompt_set"].isin(list(chosen["prompt_set"]))]["category"].unique()
        found = ", ".join(chosen["category"])
        sets = ", ".join(chosen["prompt_set"])
        raise InputError(
            f"leak.primary.categories: got {found}; allowed: {', '.join(there)}, the categories of {sets}."
        )


def corrected(p_values: Floats, primary: NDArray[np.bool_]) -> Floats:
    """Return p-values corrected by Holm within the primary family and by Benjamini and Yekutieli within the rest, (n,).

    Both corrections grow with each p-value, so of the smallest p-values that each test can give they return the
    smallest corrected ones that the design can reach. NaN stays NaN and is not counted.

    Source: Holm 1979; Benjamini & Yekutieli 2001.
    """
    result = np.full(len(p_values), np.nan)
    result[primary] = holm(p_values[primary])
    result[~primary] = benjamini_yekutieli(p_values[~primary])
    return result
