"""How well do few features predict the side of a text in a contrast, and does a single feature suffice?

Features are ranked by the difference of their means between the sides, in units of their spread (as Gurnee et al. 2023,
"Finding Neurons in a Haystack", arXiv 2305.01610, choose neurons); the best few enter a logistic regression. Ranking
and regression use only the split ``selection``; accuracies are on ``evaluation``. References: the whole residual, which
holds all information of features, and chance.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from leakscope.errors import InputError
from leakscope.features.contrasts.items import EVALUATION, SELECTION, A, B
from leakscope.features.contrasts.selection import Contrasted
from leakscope.features.description.accuracy import balanced_accuracy
from leakscope.features.description.monosemanticity import Bools, Examples, Floats, Integers, examples, monosemanticity
from leakscope.statistics.logistic import fit_logistic

SIZES = (1, 2, 5)
REMOVED = (1, 5)
PROBING_COLUMNS = ["representation", "n", "features", "measure", "value", "n_selection", "n_evaluation"]
CHANCE, FEATURES, RESIDUAL = "chance", "features", "residual"


class _Sides(NamedTuple):
    """Activations of some features and residuals at the end of texts, and whether a text is of side a."""

    activations: Floats
    residuals: Floats
    labels: Bools


@torch.inference_mode()
def probe_concept(contrasted: Contrasted) -> pd.DataFrame:
    """Return ``PROBING_COLUMNS``, one row a measure.

    ``representation``: ``features`` (the best ``n``, listed in ``features``), ``residual`` (all ``n`` dimensions),
    ``chance``. ``measure``: ``accuracy`` and ``balanced_accuracy`` (0 to 1), and for one feature
    ``monosemanticity@p`` (see ``monosemanticity``; chance is 1/4) with its parts ``tree_accuracy``, ``local@p`` and
    ``global``.

    Args:
        contrasted: a contrast as a dictionary sees it.

    Raises:
        InputError: a split has no texts of one of the sides.
    """
    # Features that never fire at the end of a training text are uninformative; in large dictionaries most are.
    ends = contrasted.ends([row for side in (A, B) for row in contrasted.rows(SELECTION, side)])
    active = contrasted.maxima(ends).nonzero()[:, 0].numpy()
    train, test = (_sides(contrasted, split, active) for split in (SELECTION, EVALUATION))
    sizes = {"n_selection": len(train.labels), "n_evaluation": len(test.labels)}
    rows: list[dict[str, Any]] = []

    def add(representation: str, n: int, features: Sequence[int] | None, **measures: float) -> None:
        listed = None if features is None else json.dumps([int(feature) for feature in features])
        row = {"representation": representation, "n": n, "features": listed, **sizes}
        rows.extend({**row, "measure": name, "value": value} for name, value in measures.items())

    ranked = rank_columns(train.activations, train.labels)
    for size in SIZES:
        best = ranked[:size]
        if len(best) == size:
            answers = fit_logistic(train.activations[:, best], train.labels).says(test.activations[:, best])
            add(FEATURES, size, active[best].tolist(), **_accuracies(answers, test.labels))
    answers = fit_logistic(train.residuals, train.labels).says(test.residuals)
    add(RESIDUAL, train.residuals.shape[1], None, **_accuracies(answers, test.labels))
    common = train.labels.mean() > 0.5
    add(CHANCE, 0, None, **_accuracies(np.full(len(test.labels), common), test.labels))
    learnt, judged = (_examples(sides, ranked) for sides in (train, test))
    for removed in REMOVED:
        monosemantic = monosemanticity(learnt, judged, removed)
        feature = [] if monosemantic.feature < 0 else [int(active[ranked[monosemantic.feature]])]
        add(
            FEATURES,
            1,
            feature,
            **{f"monosemanticity@{removed}": monosemantic.score, f"local@{removed}": monosemantic.local},
        )
        if removed == REMOVED[0]:
            add(FEATURES, 1, feature, **{"tree_accuracy": monosemantic.accuracy, "global": monosemantic.overall})
    return pd.DataFrame(rows)[PROBING_COLUMNS]


def rank_columns(values: Floats, labels: Bools) -> Integers:
    """Return the columns whose means differ between the classes, largest standardised difference first.

    Args:
        values: (rows, columns).
        labels: (rows,), the class.
    """
    difference = values[labels].mean(0) - values[~labels].mean(0)
    spread = np.sqrt((values[labels].var(0) + values[~labels].var(0)) / 2)
    # One that is constant in both classes parts them for good, but by how much is a matter of its own scale.
    score = np.abs(difference) / (spread + 1e-3 * np.abs(values).max(initial=1e-12))
    order = np.lexsort((np.arange(len(score)), -score))
    ranked: Integers = order[: np.count_nonzero(score)]
    return ranked


def _sides(contrasted: Contrasted, split: str, features: Integers) -> _Sides:
    a, b = (contrasted.rows(split, side) for side in (A, B))
    for side, rows in ((A, a), (B, b)):
        if not rows:
            raise InputError(f"contrast: got no text of side {side} for {split}; allowed: at least one.")
    activations, residuals = (
        values.double().numpy()
        for values in (
            contrasted.columns(contrasted.ends([*a, *b]), features.tolist()),
            contrasted.last_residuals([*a, *b]),
        )
    )
    return _Sides(activations, residuals, np.array([True] * len(a) + [False] * len(b)))


def _examples(sides: _Sides, columns: Integers) -> Examples:
    """Return the activations of features that differ at all: no tree asks about others."""
    return examples(sides.activations[:, columns], sides.labels)


def _accuracies(answers: Bools, labels: Bools) -> dict[str, float]:
    return {
        "accuracy": float((answers == labels).mean()),
        "balanced_accuracy": balanced_accuracy(answers, labels),
    }
