"""Agreement between paraphrases: correlations of the log-odds between all prompt forms of a style."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from leakscope.statistics.jackknife import leave_out
from leakscope.validate.gap import pearson
from leakscope.validate.paired import Names

COLUMNS = ["model", "task", "style", "kind_a", "form_a", "kind_b", "form_b", "pearson", "n"]


def form_agreement(scores: Sequence[str], scored: Names) -> pd.DataFrame:
    """Return ``COLUMNS``: Pearson's correlation between each pair of prompt forms of a style, over common items.

    Each pair has one row, with forms in the order of scoring. A high correlation of a generator with its negation means
    that the model ignores the negation.

    Args:
        scores: tables of scores, one row per item and prompt form: ``item_id, kind, form_id, style, log_odds``.
        scored: the model and the task of each table.
    """
    rows = []
    for path, (model, task) in zip(scores, scored, strict=True):
        table = pd.read_parquet(path, columns=["item_id", "kind", "form_id", "style", "log_odds"])
        for style, of_style in table.groupby("style", sort=False):
            forms = {
                (str(kind), str(form)): values.set_index("item_id")["log_odds"]
                for (kind, form), values in of_style.groupby(["kind", "form_id"], sort=False)
            }
            for a, b in combinations(forms, 2):
                rows.append((model, task, style, *a, *b, *_pearson(forms[a], forms[b])))
    return pd.DataFrame(rows, columns=COLUMNS)


def _pearson(a: pd.Series, b: pd.Series) -> tuple[float, int]:
    """Return the correlation over common items, and their number."""
    both = pd.concat([a, b], axis=1, join="inner").dropna().to_numpy(dtype=float)
    return float(pearson(both[:, 0], both[:, 1], leave_out(np.zeros(len(both))))[0]), len(both)
