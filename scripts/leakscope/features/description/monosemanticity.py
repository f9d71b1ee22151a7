"""Does a single feature represent a concept? The feature monosemanticity score of Härle et al. 2025.

Decision trees on the activations predict whether a text has the concept. accs_0 is the accuracy of a tree with one
question, accs_cum_i of a tree with i more questions on each path, accs_p of a tree with one question after removing p
features one by one, each the feature of the best single question. With n trees:

    local    2 (accs_0 − accs_p)                            the concept is nowhere else: 1; p other features have it: 0
    global   1 − Σ_i (accs_cum_i − accs_0) / n              other features add nothing: 1
    score    accs_0 (local + global) / 2

Chance is 1/4: uninformative features have accs_0 = 1/2, local = 0 and global = 1. The maximum is 1.

Trees are grown by Gini impurity on the split ``selection`` and judged by balanced accuracy on ``evaluation``, so that
chance is 1/2 whatever the sizes of the classes: the score is made for that.

Source: Härle et al. 2025, "Measuring and Guiding Monosemanticity", arXiv 2506.19382.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leakscope.features.description.accuracy import balanced_accuracy

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.intp]
EVERY = slice(None)
DEPTHS = 5
# Features whose activations are sorted at once: of a large dictionary, all at once would not fit.
COLUMNS = 1024


class Examples(NamedTuple):
    """Activations, (texts, features), whether a text has the concept and what it counts, (texts,)."""

    values: Floats
    labels: Bools
    weights: Floats


def examples(values: Floats, labels: Bools) -> Examples:
    """Return examples, weighted so that both classes count equally."""
    sizes = np.where(labels, labels.sum(), (~labels).sum())
    return Examples(values, labels, 1.0 / np.maximum(sizes, 1))


class Monosemanticity(NamedTuple):
    """The score and its parts; ``feature`` is the column of the first question, −1 where none tells anything."""

    feature: int
    accuracy: float
    local: float
    overall: float
    score: float


class Threshold(NamedTuple):
    """Whether the activation of a feature is above a threshold; the feature is −1 where no question helps."""

    feature: int
    threshold: float


def monosemanticity(train: Examples, test: Examples, removed: int = 1) -> Monosemanticity:
    """Return the score of the feature that predicts a concept best.

    Args:
        train: to grow trees by.
        test: to judge them by.
        removed: p, features that are taken away for the local part.
    """
    first = best_question(train)
    trees = [grow_and_answer(train, test.values, depth) for depth in range(1, DEPTHS + 2)]
    accuracies = [balanced_accuracy(answers, test.labels) for answers in trees]
    without = train._replace(values=train.values.copy())
    for _ in range(removed):
        asked = best_question(without).feature
        if asked >= 0:
            without.values[:, asked] = 0.0  # constant: no question about it helps
    left = balanced_accuracy(grow_and_answer(without, test.values, 1), test.labels)
    local = 2 * (accuracies[0] - left)
    overall = 1 - float(np.mean(np.array(accuracies[1:]) - accuracies[0]))
    return Monosemanticity(first.feature, accuracies[0], local, overall, accuracies[0] * (local + overall) / 2)


def best_question(train: Examples, rows: Integers | slice = EVERY) -> Threshold:
    """Return the question that leaves the least Gini impurity; of equal ones, that about the first feature.

    Args:
        train: to ask about.
        rows: of the texts that count.
    """
    labels, weights = train.labels[rows], train.weights[rows]
    total, positive = weights.sum(), (weights * labels).sum()
    best, least = Threshold(-1, 0.0), positive * (1 - positive / total) - 1e-12
    for start in range(0, train.values.shape[1], COLUMNS):
        question, impurity = _best_question(Examples(train.values[rows, start : start + COLUMNS], labels, weights))
        if impurity < least:
            best, least = question._replace(feature=start + question.feature), impurity
    return best


def _best_question(train: Examples) -> tuple[Threshold, float]:
    """Return the question that leaves the least impurity, and how much; infinite where there is none to ask."""
    values, labels, weights = train
    total, positive = weights.sum(), (weights * labels).sum()
    order = values.argsort(axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    below, right = weights[order].cumsum(0)[:-1], (weights * labels)[order].cumsum(0)[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        impurity = right * (1 - right / below) + (positive - right) * (1 - (positive - right) / (total - below))
    # Between equal values there is no threshold.
    impurity = np.where(ordered[1:] > ordered[:-1], impurity, np.inf)
    if not impurity.size:
        return Threshold(-1, 0.0), np.inf
    feature, place = (int(number) for number in np.unravel_index(impurity.T.argmin(), impurity.T.shape))
    return Threshold(feature, float(ordered[place : place + 2, feature].mean())), float(impurity[place, feature])


def grow_and_answer(train: Examples, asked: Floats, depth: int) -> Bools:
    """Return a tree's predictions for texts, (texts,), with at most ``depth`` questions on each path.

    Args:
        train: to grow it by.
        asked: activations, (texts, features).
        depth: questions on each path.
    """
    answers = np.zeros(len(asked), dtype=bool)

    def grow(rows: Integers, asked_rows: Integers, depth: int) -> None:
        question = best_question(train, rows) if depth else Threshold(-1, 0.0)
        if question.feature < 0:
            labels, weights = train.labels[rows], train.weights[rows]
            answers[asked_rows] = weights[labels].sum() > weights[~labels].sum()
            return
        above = train.values[rows, question.feature] > question.threshold
        asked_above = asked[asked_rows, question.feature] > question.threshold
        for side, asked_side in ((above, asked_above), (~above, ~asked_above)):
            grow(rows[side], asked_rows[asked_side], depth - 1)

    # By the numbers of texts: each branch with activations of its own would hold all of them once more.
    grow(np.arange(len(train.labels)), np.arange(len(asked)), depth)
    return answers
