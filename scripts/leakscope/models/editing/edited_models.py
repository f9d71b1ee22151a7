"""Models with an edit: the choice of the edit, and a manifest by which all steps open them like any other model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from leakscope.errors import InputError, one_of
from leakscope.models.editing.edits import Edit, feature_edit, from_json, to_json
from leakscope.storage.fingerprints import code_hash
from leakscope.storage.manifests import describe_edited

# The code of these modules is part of an edited model's identity: changed code must not reuse stored texts.
CODE = (
    "edits.py", "residuals.py", "beginnings.py", "dictionary.py", "dictionary_files.py", "dictionary_settings.py",
    "hook_names.py",
)  # fmt: skip
FIRING = ("maximum", "mean_active")
FEATURES = "features"  # the intervention by features of a dictionary, among those that are compared with it


def describe(edit: Edit, base: Mapping[str, Any], dictionary: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the manifest of a model with an edit.

    Args:
        edit: of any kind.
        base: manifest of the model.
        dictionary: manifest of the dictionary; left out where the edit has no features.
    """
    code = code_hash([Path(__file__).with_name(name) for name in CODE])
    return describe_edited(to_json(edit), base, dictionary if edit.features else None, code)


def explicit_edit(settings: Mapping[str, Any], dictionary: Mapping[str, Any], firing: pd.DataFrame, where: str) -> Edit:
    """Return an edit of features given by the user.

    Args:
        settings: ``features, edit, coefficient, positions``; ``maximum`` replaces the features' maximum on held-out
            text.
        dictionary: its manifest.
        firing: ``feature, maximum, mean_active`` of all of its features.
        where: location of the settings, for messages.

    Raises:
        InputError: there is no such feature, or as ``edits.feature_edit``.
    """
    features = known_features(settings["features"], dictionary["n_features"], where)
    levels = {column: dict(zip(firing["feature"], firing[column], strict=True)) for column in FIRING}
    if settings.get("maximum") is not None:
        levels["maximum"] = dict.fromkeys(features, settings["maximum"])
    try:
        return feature_edit(
            settings["edit"],
            dictionary["layer"],
            features,
            settings["coefficient"],
            maxima=levels["maximum"],
            means=levels["mean_active"],
            positions=settings["positions"],
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def known_features(features: Sequence[int], n_features: int, where: str) -> list[int]:
    """Return the features after checking that the dictionary has them and that each is named once.

    Raises:
        InputError: a feature is unknown, or named twice.
    """
    for place, feature in enumerate(features):
        if not 0 <= feature < n_features:
            raise InputError(f"{where}: features: got {feature}; allowed: 0 to {n_features - 1}.")
        if feature in features[:place]:
            raise InputError(f"{where}: features: got {feature} twice; allowed: each once.")
    return list(features)


def chosen_edit(chosen: Mapping[str, Mapping[str, Any]], cost: float, where: str) -> Edit:
    """Return the edit of features that was chosen at a cost.

    Args:
        chosen: intervention → cost in percent of perplexity, as text → the edit as JSON.
        cost: in percent.
        where: location of the request, for messages.

    Raises:
        InputError: no edit was chosen at this cost.
    """
    by_cost = chosen.get(FEATURES, {})
    if not by_cost:
        raise InputError(
            f"{where}: got a contrast for which no edit of features was chosen; allowed: a dictionary that passes "
            "`features.bar` (its quality.json says what it missed) and has features of the contrast."
        )
    if f"{cost:g}" not in by_cost:
        raise one_of(f"{where}: cost", f"{cost:g}", by_cost)
    return from_json(by_cost[f"{cost:g}"])
