"""All edits that are tried against a contrast: those of selected features, and the baselines they must beat.

* ``features``: the first 1, 2, 5, ... of each method (see ``selection``, ``greedy``). ``add`` pushes towards side a at
  positive strengths: each feature by its maximum, with its sign. ``ablate`` moves to 0, ``clamp`` to the maximum.
  ``mean_clamp`` moves, where one of the features fires, to the middle between the two sides: the mean activation at
  such tokens of texts of side a, and of side b, averaged.
* ``difference_in_means``: along the difference between the mean residuals at the end of the two texts of minimal
  ``pairs``, or of ``groups`` of items (Marks & Tegmark 2023, arXiv 2310.06824): projected to the middle, or added. That
  of pairs is projected to the middle between groups, too.
* ``random_features``: as many features that fire at the contrast's texts and were not selected, drawn by a seed.
* ``random_direction``: drawn from the sphere, edited as the difference in means.

What moves to a target may go beyond it, up to as far again: few features do not hold all of an association, nor does
one direction, and what they overshoot may make up for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from leakscope.features.contrasts import SELECTION, A, B
from leakscope.features.edits import ADD, MOVE, PROJECT, Edit
from leakscope.features.greedy import GREEDY
from leakscope.features.selection import Contrasted

NONE, FEATURES, DIFFERENCE = "none", "features", "difference_in_means"
RANDOM_FEATURES, RANDOM_DIRECTION = "random_features", "random_direction"
INTERVENTIONS = (FEATURES, DIFFERENCE, RANDOM_FEATURES, RANDOM_DIRECTION)
MIDDLE_OF_GROUPS = "middle of groups"
# How strong an edit may be: so many maxima of features or differences in means; so many times the way to a target.
LARGEST = {ADD: 8.0, MOVE: 2.0, PROJECT: 2.0}


class Family(NamedTuple):
    """Edits that differ in their strength alone.

    source: the method that features were selected by; of a difference ``pairs``, ``groups`` or ``pairs, middle of
        groups``; None for random ones.
    seed: of random ones.
    edit: the one of strength 1.
    sign: of the strengths that are tried.
    """

    intervention: str
    source: str | None
    seed: int | None
    edit: Edit
    sign: int = 1

    @property
    def largest(self) -> float:
        """The largest strength that is tried, without its sign."""
        return LARGEST[self.edit.kind]

    def at(self, strength: float) -> Edit:
        """Return the edit of a strength, given without its sign."""
        return self.edit._replace(strength=self.sign * strength)


@torch.inference_mode()
def plan_interventions(
    contrasted: Contrasted, selection: pd.DataFrame, maxima: Mapping[int, float], settings: Mapping[str, Any]
) -> list[Family]:
    """Return all families, features first.

    Args:
        contrasted: a contrast as a dictionary sees it.
        selection: its selected features; may be none. Those of ``greedy.choose_greedily`` are edited as they were
            chosen for.
        maxima: feature → its largest activation on held-out text; features without one are left out.
        settings: ``sizes, edits, baseline_seeds``.
    """
    planner = Planner(contrasted, maxima)
    sizes, seeds = sorted(settings["sizes"]), settings["baseline_seeds"]
    families: list[Family] = []
    taken: set[int] = set()
    for method in selection["method"].unique():
        known = [maxima.get(feature, 0) > 0 for feature in selection["feature"]]
        rows = selection[selection["method"].eq(method).to_numpy(bool) & np.array(known, bool)].head(sizes[-1])
        features, signs = rows["feature"].tolist(), rows["sign"].tolist()
        taken.update(features)
        names = [method.removeprefix(f"{GREEDY}_")] if method.startswith(GREEDY) else settings["edits"]
        for size in _fitting(sizes, len(features)):
            families += planner.of_features(FEATURES, method, None, features[:size], signs[:size], names)
    a, b = (contrasted.rows(SELECTION, side) for side in (A, B))
    sides = {"pairs": contrasted.pairs(), "groups": (a, b)}
    differences = {source: _difference(contrasted, *both) for source, both in sides.items() if all(both)}
    for source, difference in differences.items():
        families += planner.of_direction(DIFFERENCE, source, None, *difference)
    if "pairs" in differences:
        # What lies between the texts of pairs need not lie between the items; features are clamped between these, too.
        along, middle = differences["pairs"][0], differences["groups"][1]
        project, *_ = planner.of_direction(DIFFERENCE, f"pairs, {MIDDLE_OF_GROUPS}", None, along, middle)
        families.append(project)
    active = contrasted.active([*a, *b]).nonzero()[:, 0].tolist()
    others = [feature for feature in active if feature not in taken and maxima.get(feature, 0) > 0]
    for seed in seeds:
        drawn = np.random.default_rng(seed).permutation(others)[: sizes[-1]].tolist()
        for size in _fitting(sizes, len(drawn)):
            families += planner.of_features(RANDOM_FEATURES, None, seed, drawn[:size], [1] * size, settings["edits"])
    for seed in seeds:
        direction = np.random.default_rng(seed).normal(size=contrasted.dictionary.width)
        # As long as the largest difference in means, so that a strength means the same.
        length = max(float(difference.norm()) for difference, _ in differences.values())
        random = torch.tensor(direction / np.linalg.norm(direction)).float() * length
        families += planner.of_direction(RANDOM_DIRECTION, None, seed, random, differences["groups"][1])
    return families


class Planner:
    """Makes edits of features and of directions for a contrast."""

    def __init__(self, contrasted: Contrasted, maxima: Mapping[int, float]) -> None:
        """Hold a contrast as a dictionary sees it, and the largest activation of each feature."""
        self.contrasted, self.maxima = contrasted, maxima
        self.layer = contrasted.dictionary.layer
        self.tokens = [contrasted.tokens(contrasted.rows(SELECTION, side)) for side in (A, B)]

    def of_features(
        self,
        intervention: str,
        source: str | None,
        seed: int | None,
        features: Sequence[int],
        signs: Sequence[int],
        names: Sequence[str],
    ) -> Iterator[Family]:
        """Yield each edit, of ``names``, of some features."""
        for name in names:
            edit = self.edit(name, features, signs)
            yield from (Family(intervention, source, seed, edit, sign) for sign in ((1, -1) if name == "add" else (1,)))

    def edit(self, name: str, features: Sequence[int], signs: Sequence[int] | None = None) -> Edit:
        """Return the edit of strength 1; ``signs`` say which side each feature goes with (``add``)."""
        shared: dict[str, Any] = {"layer": self.layer, "strength": 1.0, "features": tuple(features), "name": name}
        maxima = tuple(self.maxima[feature] for feature in features)
        if name == "add":
            signed = (sign * maximum for sign, maximum in zip(signs or [1] * len(maxima), maxima, strict=True))
            return Edit(ADD, targets=tuple(signed), **shared)
        targets = {"ablate": (0.0,) * len(features), "clamp": maxima}.get(name) or self._middles(features)
        return Edit(MOVE, targets=targets, gated=name == "mean_clamp", **shared)

    def of_direction(
        self, intervention: str, source: str | None, seed: int | None, difference: Tensor, middle: Tensor
    ) -> Iterator[Family]:
        """Yield the projection to the middle along a difference, and its addition."""
        length = float(difference.norm())
        unit = (difference / length).double()
        shared: dict[str, Any] = {"layer": self.layer, "strength": 1.0, "direction": tuple(unit.tolist())}
        target = float(middle.double() @ unit)
        yield Family(intervention, source, seed, Edit(PROJECT, targets=(target,), name="project", **shared))
        for sign in (1, -1):
            yield Family(intervention, source, seed, Edit(ADD, targets=(length,), name="add", **shared), sign)

    def _middles(self, features: Sequence[int]) -> tuple[float, ...]:
        """Return the middle between the sides of each feature's mean activation where one of the features fires."""
        means = []
        for tokens in self.tokens:
            activations = self.contrasted.columns(tokens, features)
            firing = activations[(activations > 0).any(-1)]
            means.append(firing.double().mean(0) if len(firing) else torch.zeros(len(features)).double())
        return tuple(((means[0] + means[1]) / 2).tolist())


def _fitting(sizes: Sequence[int], available: int) -> list[int]:
    """Return the sizes that there are features for, and all that there are where a size asks for more."""
    return sorted({min(size, available) for size in sizes} - {0})


def _difference(contrasted: Contrasted, a: Sequence[int], b: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the difference between mean residuals at the end of texts, [d], and the place between them, [d]."""
    of_a, of_b = (contrasted.last_residuals(rows).double().mean(0) for rows in (a, b))
    return (of_a - of_b).float(), ((of_a + of_b) / 2).float()
