"""How many meanings does a feature have? Measures of single features, summarised over a dictionary.

No measure proves meaning by itself: compare it with a dictionary of a model with random weights, which has values of
all measures, too (Heap et al. 2025, arXiv 2501.17727).
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from leakscope.features.description.feature_table import OF_DICTIONARY

MEASURES = ("effective_tokens", "activation_kurtosis", "log10_rate")
DETECTION = "detection"
COLUMNS = [
    *(*OF_DICTIONARY, "n_features", "dead_share"),
    *("measure", "explainer", "n", "low_quartile", "median", "high_quartile"),
]


def polysemanticity(features: Mapping[str, pd.DataFrame], dictionaries: pd.DataFrame) -> pd.DataFrame:
    """Return ``COLUMNS``: median and quartiles of each measure over the features of each dictionary.

    * ``effective_tokens``, ``activation_kurtosis`` and ``log10_rate``: over features that are not dead.
    * ``detection``: over features with a score, for each ``explainer``; ``n`` is how many were interpreted.

    Args:
        features: dictionary → its feature table.
        dictionaries: ``OF_DICTIONARY``, one row a dictionary.
    """
    rows = []
    for entry in dictionaries.to_dict("records"):
        table = features[entry["dictionary"]]
        alive = table[~table["dead"].astype(bool)]
        whole = {**entry, "n_features": len(table), "dead_share": 1 - len(alive) / len(table)}
        rows += [{**whole, "measure": name, "explainer": None, **_quartiles(alive[name])} for name in MEASURES]
        for name in (str(name) for name in table if str(name).startswith(f"{DETECTION}_")):
            explainer = name.removeprefix(f"{DETECTION}_")
            rows.append({**whole, "measure": DETECTION, "explainer": explainer, **_quartiles(table[name])})
    return pd.DataFrame(rows, columns=COLUMNS).astype({"layer": "Int64", "seed": "Int64"})


def _quartiles(values: pd.Series) -> dict[str, float]:
    there = values.astype("float64").dropna()
    low, median, high = there.quantile([0.25, 0.5, 0.75])
    return {"n": len(there), "low_quartile": low, "median": median, "high_quartile": high}
