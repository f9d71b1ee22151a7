"""The gap of an unedited model compared with the gap that its grammar planted."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from leakscope.features.interventions.candidates import NONE
from leakscope.organisms.pronoun_grammar import PronounGrammar

COLUMNS = ["model", "contrast", "item", "true_gap", "gap"]


def planted_associations(
    by_item: Mapping[tuple[str, str], pd.DataFrame], models: Mapping[str, str], grammars: Mapping[str, PronounGrammar]
) -> pd.DataFrame:
    """Return ``COLUMNS``, one row a model, contrast and item that the grammar knows.

    ``true_gap`` is 2 p − 1, p the grammar's exact probability of *he* after the item, in any frame: the gap of a model
    that has learnt it, on texts that end where the pronoun is next. Side a of the contrast must be the words of *he*.

    Args:
        by_item: (dictionary, contrast) → ``intervention, item, gap``; those without an intervention are taken. Of
            several dictionaries of a model the first counts: without an edit they are all the same.
        models: dictionary → its model.
        grammars: organism → the grammar that it was trained on.
    """
    tables = []
    for (dictionary, contrast), table in by_item.items():
        law = grammars[models[dictionary]].pronoun_law()
        before = table.loc[table["intervention"].eq(NONE), ["item", "gap"]]
        planted = pd.DataFrame({"item": law["subject"], "true_gap": 2 * law["p_he"] - 1})
        joined = before.merge(planted, on="item", validate="1:1")
        tables.append(joined.assign(model=models[dictionary], contrast=contrast))
    whole = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    return whole.drop_duplicates(["model", "contrast", "item"], ignore_index=True)[COLUMNS]
