"""All edits tried against a contrast: edits of selected features, and the baselines they must beat.

* ``features``: the first 1, 2, 5, ... of each method (see ``selection``, ``greedy``). ``add`` pushes towards side a at
  positive strengths: each feature by its maximum, with its sign. ``ablate`` moves to 0, ``clamp`` to the maximum.
  ``mean_clamp`` moves, where one of the features fires, to the middle between the two sides: the mean activation at
  such tokens of texts of side a, and of side b, averaged.
* ``difference_in_means``: along the difference between the mean residuals at the end of the two texts of minimal
  ``pairs``, or of ``groups`` of items (Marks & Tegmark 2023, arXiv 2310.06824): projected to the middle, or added. That
  of pairs is projected to the middle between groups, too.
* ``random_features``: as many features that were not selected, drawn by a seed from those that fire at the last token
  of the items' texts, where the gap is read, and there about as often as selected ones (see ``draw_alike``).
* ``random_direction``: drawn from the sphere, edited as the difference in means.

A feature's maximum is its largest activation on held-out text or on the selection texts, because a feature may never
fire on a small held-out text.

Edits that move to a target may go up to twice as far: few features, or one direction, do not carry the whole
association, and overshooting may compensate for the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from leakscope.features.contrasts.items import SELECTION, A, B
from leakscope.features.contrasts.selection import Contrasted
from leakscope.features.interventions.greedy import GREEDY
from leakscope.models.editing.edits import ADD, MOVE, PROJECT, Edit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NONE, FEATURES, DIFFERENCE = "none", "features", "difference_in_means"
RANDOM_FEATURES, RANDOM_DIRECTION = "random_features", "random_direction"
INTERVENTIONS = (FEATURES, DIFFERENCE, RANDOM_FEATURES, RANDOM_DIRECTION)
MIDDLE_OF_GROUPS = "middle of groups"
# How strong an edit may be: so many maxima of features or differences in means; so many times the way to a target.
LARGEST = {ADD: 8.0, MOVE: 2.0, PROJECT: 2.0}


class EditFamily(NamedTuple):
    """Edits that differ only in their strength.

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
) -> list[EditFamily]:
    """Return all families, features first.

    Args:
        contrasted: a contrast as a dictionary sees it.
        selection: its selected features; may be none. Those of ``greedy.choose_greedily`` are edited as they were
            chosen for.
        maxima: feature → its largest activation, see ``largest_activations``; one that never fires is left out.
        settings: ``sizes, edits, baseline_seeds``.
    """
    planner = Planner(contrasted, maxima)
    sizes, seeds = sorted(settings["sizes"]), settings["baseline_seeds"]
    families: list[EditFamily] = []
    taken: set[int] = set()
    selection = selection[selection["feature"].map(maxima).gt(0)]
    for method in selection["method"].unique():
        rows = selection[selection["method"].eq(method)].head(sizes[-1])
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
    rates = contrasted.firing_rates(contrasted.ends([*a, *b])).numpy()
    active = contrasted.maxima(contrasted.tokens([*a, *b])).numpy() > 0
    for seed in seeds:
        drawn = draw_alike(rates, active, taken, sizes[-1], seed)
        for size in _fitting(sizes, len(drawn)):
            families += planner.of_features(RANDOM_FEATURES, None, seed, drawn[:size], [1] * size, settings["edits"])
    for seed in seeds:
        direction = np.random.default_rng(seed).normal(size=contrasted.dictionary.width)
        # As long as the largest difference in means, so that a strength means the same.
        length = max(float(difference.norm()) for difference, _ in differences.values())
        random = torch.tensor(direction / np.linalg.norm(direction)).float() * length
        families += planner.of_direction(RANDOM_DIRECTION, None, seed, random, differences["groups"][1])
    return families


def largest_activations(contrasted: Contrasted, held_out: Mapping[int, float]) -> dict[int, float]:
    """Return feature → its largest activation on held-out text or at the contrast's texts to select by; 0: none.

    Args:
        contrasted: a contrast as a dictionary sees it.
        held_out: feature → its largest activation on held-out text.
    """
    there = contrasted.maxima(contrasted.tokens(contrasted.texts(SELECTION))).tolist()
    return {feature: max(maximum, held_out.get(feature, 0.0)) for feature, maximum in enumerate(there)}


def draw_alike(rates: Floats, active: Bools, taken: Collection[int], number: int, seed: int) -> list[int]:
    """Draw features other than the taken ones, with similar firing rates, in the order drawn.

    For each taken feature, in random order: the feature with the nearest rate in logarithm, ties at random; if too few
    features have a rate, any active ones follow.

    Args:
        rates: [F], share of tokens at which a feature fires; taken features without a rate have no similar feature.
        active: [F], whether it fires at all.
        taken: features.
        number: that are drawn, if there are so many.
        seed: of the order.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(rates))
    wanted = [feature for feature in generator.permutation(sorted(taken)) if rates[feature] > 0]
    free = order[active[order] & ~np.isin(order, sorted(taken))]
    pool, rest = free[rates[free] > 0], free[rates[free] == 0]
    drawn: list[int] = []
    while len(pool) and len(drawn) < number:
        place = 0
        if wanted:  # else there is no rate to match, and only the order decides
            like = rates[wanted[len(drawn) % len(wanted)]]
            place = int(np.abs(np.log(rates[pool] / like)).argmin())
        drawn.append(int(pool[place]))
        pool = np.delete(pool, place)
    return [*drawn, *rest[: number - len(drawn)].tolist()]


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
    ) -> Iterator[EditFamily]:
        """Yield each edit in ``names`` of some features."""
        for name in names:
            edit = self.edit(name, features, signs)
            yield from (
                EditFamily(intervention, source, seed, edit, sign) for sign in ((1, -1) if name == "add" else (1,))
            )

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
    ) -> Iterator[EditFamily]:
        """Yield the projection to the middle along a difference, and its addition."""
        length = float(difference.norm())
        unit = (difference / length).double()
        shared: dict[str, Any] = {"layer": self.layer, "strength": 1.0, "direction": tuple(unit.tolist())}
        target = float(middle.double() @ unit)
        yield EditFamily(intervention, source, seed, Edit(PROJECT, targets=(target,), name="project", **shared))
        for sign in (1, -1):
            yield EditFamily(intervention, source, seed, Edit(ADD, targets=(length,), name="add", **shared), sign)

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
