"""Comparison of measured gaps with the gaps planted by a grammar."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from leakscope.organisms.taxonomy_grammar import TaxonomyGrammar

MODEL_COLUMNS = ["model", "task", "strength", "form", "subset"]
TRUTH_COLUMNS = [*MODEL_COLUMNS, "true_pearson", "true_gap", "gap", "ci_low", "ci_high", "n"]
SUBSETS = {"all": (True, False), "positive": (True,), "negative": (False,)}


def planted_gaps(
    correlations: pd.DataFrame, items: Mapping[str, pd.DataFrame], grammars: Mapping[str, TaxonomyGrammar]
) -> pd.DataFrame:
    """Return ``TRUTH_COLUMNS``, one row per model, task, prompt form and subset; the gap is 1 − Pearson(l_G, l_V).

    The true gap is computed from the grammar's exact log-odds over the task's items. A task with an item that is not in
    the grammar has no true gap and no row.

    Args:
        correlations: the table ``correlations.csv``.
        items: task → its items (see ``items.item_table``).
        grammars: organism → the grammar that it was trained on.
    """
    truths = pd.DataFrame(
        [
            (model, task, subset, grammar.strength, true)
            for model, grammar in grammars.items()
            for task, of_task in items.items()
            for subset in SUBSETS
            if (true := true_pearson(grammar, of_task, subset)) is not None
        ],
        columns=["model", "task", "subset", "strength", "true_pearson"],
    )
    measured = correlations[correlations["split"].eq("all") & correlations["statistic"].eq("pearson")]
    joined = measured.merge(truths, on=["model", "task", "subset"])
    return joined.assign(
        true_gap=1 - joined["true_pearson"],
        gap=1 - joined["value"],
        # 1 − r swaps the limits.
        ci_low=1 - joined["ci_high"],
        ci_high=1 - joined["ci_low"],
    )[TRUTH_COLUMNS]


def true_pearson(grammar: TaxonomyGrammar, items: pd.DataFrame, subset: str) -> float | None:
    """Return Pearson(l_G, l_V) of a grammar's exact log-odds over items; None if an item is not in the grammar."""
    exact = grammar.log_odds().set_index(["question", "candidate"])
    pairs = pd.MultiIndex.from_frame(items[["question", "candidate"]])
    if not pairs.isin(exact.index).all():
        return None
    chosen = exact.loc[pairs[items["positive"].isin(SUBSETS[subset])]]
    return float(chosen["l_g"].corr(chosen["l_v"]))
