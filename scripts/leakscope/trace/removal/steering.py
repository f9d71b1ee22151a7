"""Mitigations that edit the residual stream: along directions in which tests differ from controls, or by features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from leakscope.errors import InputError, one_of
from leakscope.models.editing.edited_models import FIRING
from leakscope.models.editing.edits import PROJECT, Edit, feature_edit, to_json
from leakscope.models.mitigating.changes import describe_mitigated, mitigated
from leakscope.models.opening import LanguageModel
from leakscope.trace.removal.directions import DIRECTIONS, Floats
from leakscope.trace.removal.selected import Selected, selected_prompts
from leakscope.trace.removal.variants import Setting, Variant

if TYPE_CHECKING:
    from leakscope.models.editing.dictionary import Dictionary

MEAN_CLAMP = "mean_clamp"


def steering_variants(setting: Setting) -> list[Variant]:
    """Return a variant for each layer of the entry, and of several one for all of them together.

    The residual before a block is projected along each direction to the mean of the controls, at every token of a text
    but the first: x + s · (t − x·u) · u, s the strength. Directions are those of the unchanged model's residuals at the
    last tokens of prompts, also where earlier layers are edited.

    Args:
        setting: its entry has ``direction``, a name of ``DIRECTIONS``, and ``layers``, shares of depth.

    Raises:
        InputError: no such direction, a model of one block, or a layer where the tests' residuals are those of their
            controls.
    """
    # Imported here: the models' code costs seconds.
    from leakscope.models.editing.residuals import decoder_blocks

    if setting.entry["direction"] not in DIRECTIONS:
        raise one_of("mitigations: key 'direction'", setting.entry["direction"], DIRECTIONS)
    selected = selected_prompts(setting)
    layers = layers_at(setting.entry["layers"], len(decoder_blocks(setting.model.model)))
    by_layer = {f"layer {layer}": _projections(setting, selected, layer) for layer in layers}
    if len(layers) > 1:
        together = [edit for edits in by_layer.values() for edit in edits]
        by_layer[f"layers {', '.join(map(str, layers))}"] = together
    return [_variant(setting, name, edits) for name, edits in by_layer.items()]


def feature_variants(setting: Setting) -> list[Variant]:
    """Return one variant: the features that most tell tests from controls, edited; its strength scales the edit.

    A feature tells by the mean activation in tests less that in controls, at the concept's tokens (in controls: at all
    but the first) or at the last one, whichever is more. Those that no test moves up are left out, and of a mean clamp
    those without a mean.

    Args:
        setting: with a dictionary and ``firing``; its entry has ``edit``, ``ablate`` or ``mean_clamp``, and
            ``features``, how many.

    Raises:
        InputError: the setting has no dictionary, or no feature tells.
    """
    from leakscope.models.editing.dictionary_files import open_dictionary

    if setting.dictionary is None or setting.firing is None:
        raise InputError(f"mitigations of {setting.name}: got no dictionary; allowed: one of this model.")
    dictionary = open_dictionary(setting.dictionary)
    maxima, means = (dict(zip(setting.firing["feature"], setting.firing[column], strict=True)) for column in FIRING)
    told = _told(setting, selected_prompts(setting), dictionary)
    if setting.entry["edit"] == MEAN_CLAMP:
        told[[feature for feature in range(len(told)) if not means.get(feature, 0) > 0]] = 0
    order = np.argsort(-told, kind="stable")[: setting.entry["features"]]
    features = [int(feature) for feature in order if told[feature] > 0]
    if not features:
        raise InputError(
            f"mitigations of {setting.name}: got no feature of {dictionary.n_features} that fires more in tests than "
            "in controls; allowed: a dictionary with such features."
        )
    edit = feature_edit(setting.entry["edit"], dictionary.layer, features, 1.0, maxima=maxima, means=means)
    return [_variant(setting, "", [edit], setting.dictionary)]


def layers_at(shares: Sequence[float], n_blocks: int) -> list[int]:
    """Return the blocks at shares of depth, each once: from the second one, which is the first to read the context."""
    return sorted({max(1, min(round(share * n_blocks), n_blocks - 1)) for share in shares})


def _variant(
    setting: Setting, name: str, edits: Sequence[Edit], dictionary: Mapping[str, Any] | None = None
) -> Variant:
    """Return what edits by any share of their strengths."""

    def manifest(strength: float) -> dict[str, Any]:
        scaled = [to_json(edit._replace(strength=strength * edit.strength)) for edit in edits]
        return describe_mitigated({"kind": "edits", "edits": scaled}, setting.manifest, dictionary)

    def at(strength: float) -> AbstractContextManager[LanguageModel]:
        return mitigated(setting.model, manifest(strength))

    return Variant(name, 1.0, at, manifest, setting.prompting)


def _projections(setting: Setting, selected: Selected, layer: int) -> list[Edit]:
    """Return the edits before a block, one a direction."""
    tests = _last_residuals(setting, selected.ids, layer)
    controls = _last_residuals(setting, selected.controls, layer)
    paired, groups = controls[selected.control_of], list(selected.tests["concept_group"])
    directions = DIRECTIONS[setting.entry["direction"]](tests, paired, groups)
    if not len(directions):
        raise InputError(
            f"mitigations of {setting.name}: got tests and controls with the same residuals before block {layer}; "
            "allowed: a layer where they differ."
        )
    targets = controls.mean(0) @ directions.T
    return [
        Edit(PROJECT, layer, 1.0, targets=(float(target),), direction=tuple(map(float, direction)))
        for direction, target in zip(directions, targets, strict=True)
    ]


def _last_residuals(setting: Setting, rows: Sequence[list[int]], layer: int) -> Floats:
    """Return the residuals before a block at the last token of each row, (rows, hidden)."""
    read = _residuals(setting, rows, layer)
    return np.stack([read[row][-1].double().numpy() for row in range(len(rows))])


def _residuals(setting: Setting, rows: Sequence[list[int]], layer: int) -> dict[int, torch.Tensor]:
    from leakscope.models.editing.residuals import read_residuals

    batch_size = setting.prompting.settings["batch_size"]
    batches = read_residuals(setting.model.model, rows, layer, batch_size=batch_size)
    return {row: residuals for batch in batches for row, residuals in batch.items()}


@torch.inference_mode()
def _told(setting: Setting, selected: Selected, dictionary: Dictionary) -> Floats:
    """Return by how much each feature is more active in tests than in controls, (features,)."""
    tests = _residuals(setting, selected.ids, dictionary.layer)
    controls = _residuals(setting, selected.controls, dictionary.layer)
    everywhere = [range(min(1, len(row) - 1), len(row)) for row in selected.controls]
    at_concept = _means(dictionary, tests, selected.concept_places()) - _means(dictionary, controls, everywhere)
    ends = [[range(len(row) - 1, len(row)) for row in rows] for rows in (selected.ids, selected.controls)]
    at_end = _means(dictionary, tests, ends[0]) - _means(dictionary, controls, ends[1])
    more: Floats = np.maximum(at_concept, at_end)
    return more


def _means(dictionary: Dictionary, residuals: dict[int, torch.Tensor], places: Sequence[range]) -> Floats:
    """Return the mean over rows of each feature's mean activation at some places of a row, (features,)."""
    of_rows = [dictionary.encode(residuals[row][list(at)].float()).mean(0) for row, at in enumerate(places)]
    mean: Floats = torch.stack(of_rows).double().mean(0).numpy()
    return mean
