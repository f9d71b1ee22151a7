"""Generator and validator by layer, read with the logit lens, and the layer at which they diverge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leakscope.statistics.jackknife import leave_out
from leakscope.validate.discrimination import roc_auc
from leakscope.validate.gap import pearson
from leakscope.validate.paired import ALL, Names, subsets_of

VALUES = ["l_g", "l_v", "pearson", "generator_auc", "validator_auc", "n"]
LAYER_COLUMNS = ["model", "task", "layer", "subset", *VALUES]
PARTING_COLUMNS = ["model", "task", "layer_generator", "layer_validator", "layer_parting"]
TOLERANCE = 0.05
"""Tolerated difference of an AUC from its last layer's, or of a correlation from its maximum."""


def layer_summary(layers: Sequence[str], layered: Names, items: Sequence[str]) -> pd.DataFrame:
    """Return ``LAYER_COLUMNS``: means of both log-odds, their correlation and ROC-AUCs, by layer and subset.

    ``l_g`` is of the candidate's first token. AUCs are over all items; NaN in the other subsets.

    Args:
        layers: tables ``item_id, layer, l_g_first, l_v``.
        layered: the model and the task of each table.
        items: the table of items of each table.
    """
    rows = []
    for path, (model, task), items_path in zip(layers, layered, items, strict=True):
        labels = pd.read_parquet(items_path, columns=["item_id", "positive"])
        table = pd.read_parquet(path).merge(labels, on="item_id", validate="many_to_one")
        for layer, of_layer in table.groupby("layer"):
            rows += [
                (model, task, layer, subset, *_summary(of_subset, subset)) for subset, of_subset in subsets_of(of_layer)
            ]
    return pd.DataFrame(rows, columns=LAYER_COLUMNS)


def parting(summary: pd.DataFrame) -> pd.DataFrame:
    """Return ``PARTING_COLUMNS``: the layers where generator and validator form and diverge, per model and task.

    ``layer_generator`` and ``layer_validator`` are the first layers from which on the AUC stays within ``TOLERANCE`` of
    the last layer's. ``layer_parting`` is the first layer from which on the correlation stays more than ``TOLERANCE``
    below its maximum; missing if there is none.

    Args:
        summary: from ``layer_summary``.
    """
    rows = []
    for keys, table in summary[summary["subset"] == ALL].groupby(["model", "task"], sort=False):
        layers, rises = table["layer"], table[["generator_auc", "validator_auc"]]
        ready = [first_lasting(layers, (rises[name] - rises[name].iloc[-1]).abs() <= TOLERANCE) for name in rises]
        parted = table["pearson"] < table["pearson"].max() - TOLERANCE
        rows.append((*keys, *ready, first_lasting(layers, parted)))
    return pd.DataFrame(rows, columns=PARTING_COLUMNS).astype(dict.fromkeys(PARTING_COLUMNS[2:], "Int64"))


def first_lasting(layers: ArrayLike, holds: ArrayLike) -> int | None:
    """Return the first layer from which on a condition holds in every layer; None if it fails in the last layer.

    Args:
        layers: (layers,), ascending.
        holds: (layers,), whether the condition holds.
    """
    backwards = np.asarray(holds, dtype=bool)[::-1]
    lasting = int(np.logical_and.accumulate(backwards).sum())
    return int(np.asarray(layers)[-lasting]) if lasting else None


def _summary(rows: pd.DataFrame, subset: str) -> tuple[float, ...]:
    l_g, l_v = (rows[name].to_numpy(dtype=float) for name in ("l_g_first", "l_v"))
    # A single cluster: only the values are needed, not the intervals.
    sample = leave_out(np.zeros(len(rows)))
    aucs = [np.nan, np.nan]
    if subset == ALL:
        aucs = [float(roc_auc(values, rows["positive"], sample)[0]) for values in (l_g, l_v)]
    means = rows[["l_g_first", "l_v"]].mean()
    return (*means, float(pearson(l_g, l_v, sample)[0]), *aucs, len(rows))
