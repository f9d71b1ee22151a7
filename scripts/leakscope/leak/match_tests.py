"""The tests that a match rate is the mean of, text by text: whose partner is which text, and their similarities.

The match rate compares each text of a unit with every text after a concept of another group (see
``measures.matching``). Pairs of texts are too many for a page; the similarities of each text to the concepts of its
unit, from which all pairs follow, are not.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.leak.measures.similarities import similarity_matrix
from leakscope.leak.pairs import tests_by_unit

Floats = NDArray[np.float64]

MOST_CONCEPTS = 1000  # of a unit whose tests are kept: similarities are the square of that
OF_TEST = ["prompt_id", "prompt", "category", "unit", "concept", "concept_group"]
OF_TEXT = ["model", "prompt_set", "prompt_id", "sample", "text"]
CONCEPT = ["concept", "concept_group"]


def match_tests(prompts: pd.DataFrame, generations: pd.DataFrame) -> pd.DataFrame:
    """Return the texts that match rates compare, and where the similarities of each stand.

    Two rows of one model and unit, and of different concept_group, are each other's partners. With the similarities σ
    of a scorer (``match_similarities``), row i's text has the similarity σ[cell_i + place_j] to the concept of row j of
    the same unit, so that i and j are told apart where

        σ[cell_i + place_i] + σ[cell_j + place_j]  >  σ[cell_i + place_j] + σ[cell_j + place_i]

    Args:
        prompts: the prompts tables of all sets.
        generations: ``model, prompt_set, prompt_id, sample, text`` of all models on these.

    Returns:
        A row a text of a unit with partners: model, prompt_set, prompt_id, sample, text, prompt, category, concept,
        concept_group, unit (a number), place (of the concept in its unit, from 0), size (concepts of the unit), cell
        (where the similarities of the text begin). Units of more than ``MOST_CONCEPTS`` concepts are left out.
    """
    found = []
    for _, of_set in prompts.groupby("prompt_set", sort=False):
        tests = tests_by_unit(of_set)[["prompt_set", *OF_TEST]]
        found.append(generations[OF_TEXT].merge(tests, on=["prompt_set", "prompt_id"]))
    empty = pd.DataFrame(columns=[*OF_TEXT, *OF_TEST[1:]])
    rows = pd.concat(found, ignore_index=True) if found else empty
    by_unit = ["prompt_set", "category", "unit"]
    n_groups = rows.groupby(["model", *by_unit], sort=False, dropna=False)["concept_group"].transform("nunique")
    rows = rows[n_groups > 1].reset_index(drop=True)
    rows["unit"] = rows.groupby(by_unit, sort=False, dropna=False).ngroup()
    return _with_cells(_with_places(rows))


def match_similarities(tests: pd.DataFrame, similarity: pd.DataFrame, scorer: str, decimals: int = 3) -> Floats:
    """Return the similarities that a scorer's match rates are made from, (cells,); NaN for an empty text.

    Args:
        tests: as ``match_tests`` returns them.
        similarity: ``concept, text, similarity`` (unrounded), at least the pairs of ``pairs.list_pairs``.
        scorer: its name, for errors.
        decimals: to which similarities are rounded before they are compared.

    Raises:
        InputError: a pair is missing.
    """
    cells = tests.drop_duplicates("cell")
    values = np.full(int(cells["size"].sum()), np.nan)
    for _, rows in tests.groupby(["prompt_set", "category"], sort=False, dropna=False):
        texts, concepts = pd.Index(rows["text"].unique()), pd.Index(rows["concept"].unique())
        matrix = np.round(similarity_matrix(similarity, concepts.to_list(), texts, scorer), decimals)
        for _, of_unit in rows.groupby("unit", sort=False):
            own = of_unit.drop_duplicates("place").sort_values("place")
            written = of_unit.drop_duplicates("cell")
            asked = np.ix_(concepts.get_indexer(own["concept"]), texts.get_indexer(written["text"]))
            values[written["cell"].to_numpy()[:, None] + np.arange(len(own))] = matrix[asked].T
    return values


def _with_places(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with each concept's ``place`` in its unit and the unit's ``size``, of units that are small enough."""
    known = rows[["unit", *CONCEPT]].drop_duplicates(ignore_index=True)
    known["place"] = known.groupby("unit", sort=False).cumcount()
    known["size"] = known.groupby("unit", sort=False)["place"].transform("size")
    return rows.merge(known[known["size"] <= MOST_CONCEPTS], on=["unit", *CONCEPT], validate="many_to_one")


def _with_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with ``cell``: a text has one in its unit, however many models wrote it."""
    cells = rows[["unit", "text", "size"]].drop_duplicates(ignore_index=True)
    cells["cell"] = cells["size"].cumsum() - cells["size"]
    return rows.merge(cells[["unit", "text", "cell"]], on=["unit", "text"], validate="many_to_one")
