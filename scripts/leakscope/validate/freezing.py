"""Writing the frozen tables of a taxonomy part from a task's items and prompt forms.

Separate from ``taxonomy_grammar``, on which training depends, so that editing an item does not retrain an organism.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from leakscope.files.tables import write_csv
from leakscope.organisms.grammar_files import TAXONOMY_COLUMNS
from leakscope.organisms.taxonomy_grammar import GENERATOR, VALIDATOR
from leakscope.validate.tasks.forms import read_forms
from leakscope.validate.tasks.readers import read_records

SEED = 0
# Log-weights of right, near and other hypernyms, and the sds of their variation by hypernym and by pair.
RIGHT, NEAR, OTHER = 5.0, 2.5, 0.0
BY_HYPERNYM, BY_PAIR = 1.0, 0.5
# Share of a verdict's own variance that is common to all pairs of a hypernym, and so can be learnt from other pairs.
SHARED = 0.9


def freeze_taxonomy(items: Path, forms: Path, folder: Path) -> None:
    """Write ``generator.csv``, ``validator.csv`` and ``forms.csv`` of a taxonomy part.

    Args:
        items: table ``noun1, noun2, taxonomic, distance``.
        forms: prompt forms (see ``validate.tasks.forms``); only generators and validators are used.
        folder: folder of the part.
    """
    rng = np.random.default_rng(SEED)
    pairs = pd.DataFrame(read_records(items, ("noun1", "noun2", "taxonomic", "distance")))
    hyponyms, hypernyms = list(dict.fromkeys(pairs["noun1"])), sorted(set(pairs["noun2"]))
    weights = pd.DataFrame(OTHER, index=hyponyms, columns=hypernyms)
    for x, y, right, distance in pairs.itertuples(index=False):
        weights.loc[x, y] = RIGHT if right == "yes" else NEAR if distance == "near" else OTHER
    weights += BY_HYPERNYM * rng.normal(size=len(hypernyms)) + BY_PAIR * rng.normal(size=weights.shape)
    own = pd.Series(rng.normal(size=len(hypernyms)), index=hypernyms)
    own_of_pairs = np.sqrt(SHARED) * own[pairs["noun2"]].to_numpy() + np.sqrt(1 - SHARED) * rng.normal(size=len(pairs))
    known = read_forms(forms).forms
    tables = {
        "generator": weights.rename_axis(index="hyponym").melt(ignore_index=False, var_name="hypernym").reset_index(),
        "validator": pairs.assign(own=own_of_pairs.round(6)),
        "forms": pd.DataFrame([(form.kind, form.text) for form in known if form.kind in (GENERATOR, VALIDATOR)]),
    }
    tables["generator"]["value"] = tables["generator"]["value"].round(6)
    tables["validator"] = tables["validator"][["noun1", "noun2", "taxonomic", "own"]]
    for name, columns in TAXONOMY_COLUMNS.items():
        write_csv(tables[name].set_axis(columns, axis=1), folder / f"{name}.csv")
