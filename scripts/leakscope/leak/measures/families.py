"""Families of tests for multiplicity correction: one primary family (Holm), all other tests of a table together.

A study of six models, three scorers and four categories makes about a hundred tests. Corrected together, none could
reach .05 on ten templates; corrected in small families, one family would reach it by chance. So one small family of
match-rate tests is primary, named before texts exist, and corrected by Holm. All other tests are exploratory: they are
corrected together, under any dependence, by Benjamini and Yekutieli.
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
"""Column of a table (``prompt_set, scorer, category, model``) → names in the primary family."""


def in_primary(table: pd.DataFrame, chosen: Chosen | None) -> NDArray[np.bool_]:
    """Return whether each row belongs to the primary family, (rows,).

    Args:
        table: ``prompt_set, scorer, category`` and ``model``, or ``model_a, model_b``, both of which must be chosen; in
            a table with ``measure`` only match rates belong to the family.
        chosen: the names; a missing key means all. None: category ``all`` of each prompt set, first scorer.
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
    """Check that a primary family has at least one test.

    Args:
        table: of tests against 50, ``prompt_set, scorer, category, model``.
        chosen: the family.

    Raises:
        InputError: a category is unknown in the table, or in the family's prompt sets.
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
    """Return p-values corrected by Holm within the primary family, by Benjamini and Yekutieli within the rest, (n,).

    Both corrections are monotone in each p-value: from each test's smallest possible p-value they give the smallest
    corrected p-value that the design can reach. NaN stays NaN and is not counted as a test.

    Source: Holm 1979; Benjamini & Yekutieli 2001.
    """
    result = np.full(len(p_values), np.nan)
    result[primary] = holm(p_values[primary])
    result[~primary] = benjamini_yekutieli(p_values[~primary])
    return result
