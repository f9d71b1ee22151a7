from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import LOADING
from leakscope.errors import InputError
from leakscope.models.editing.dictionary import Dictionary
from leakscope.models.editing.dictionary_files import describe_dictionary, save_dictionary
from leakscope.models.editing.residuals import read_residuals
from leakscope.models.opening import open_model
from leakscope.trace.removal.directions import (
    DIRECTIONS,
    MOST_DIRECTIONS,
    group_differences,
    principal_direction,
    probe_direction,
)
from leakscope.trace.removal.selected import selected_prompts
from leakscope.trace.removal.steering import feature_variants, layers_at, steering_variants
from leakscope.trace.removal.variants import Setting
from removal import last_logits, setting_of, write_model

STEERING = {"kind": "steering", "direction": "difference", "layers": [0.5, 0.75]}
FEATURES = {"kind": "features", "dictionary": "d", "edit": "ablate", "features": 10}
LAYER, TOLD = 2, 3  # of the planted dictionary, and its feature that fires at concepts


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("steering") / "model")


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


def steering(model_folder: Path, tmp_path: Path, **changes: Any) -> Setting:
    return setting_of(model_folder, tmp_path, {**STEERING, **changes})


def last(model: Any, rows: list[list[int]], layer: int) -> np.ndarray:
    read = {row: found for batch in read_residuals(model, rows, layer, batch_size=4) for row, found in batch.items()}
    return np.stack([read[row][-1].double().numpy() for row in range(len(rows))])


def test_groups_differ_in_the_span_of_their_means_and_noise_is_left_out() -> None:
    tests = np.array([[2.0, 5, 0], [4, 5, 0], [0, 6, 0], [0, 5, 0.001]])
    controls = np.full((4, 3), [0.0, 5, 0])
    # Means: (3, 0, 0), (0, 1, 0), (0, 0, .001); the last is below 1 % of 3.
    found = group_differences(tests, controls, ["a", "a", "b", "c"])
    np.testing.assert_allclose(found, [[1, 0, 0], [0, 1, 0]], atol=1e-12)


def test_of_many_groups_only_so_many_directions_are_taken() -> None:
    tests = np.random.default_rng(0).normal(size=(12, 20))
    found = group_differences(tests, np.zeros((12, 20)), [str(number) for number in range(12)])
    assert found.shape == (MOST_DIRECTIONS, 20)
    np.testing.assert_allclose(found @ found.T, np.eye(MOST_DIRECTIONS), atol=1e-12)


def test_what_all_differences_share_is_their_principal_direction() -> None:
    """Centred, it would be gone."""
    controls = np.array([[1.0, 2], [3, -4], [0, 0]])
    differences = np.array([[3.0, 4], [6, 8], [3, 4]])
    found = principal_direction(controls + differences, controls, ["a", "b", "c"])
    np.testing.assert_allclose(found, [[0.6, 0.8]], atol=1e-12)


def test_a_probe_points_in_residual_space() -> None:
    """Both columns tell as much, but the second in tens: a step of one in the first is worth ten in it."""
    first, second = np.array([[1.0], [2], [1], [2]]), np.array([[1.0], [1], [2], [2]])
    tests = np.concatenate([first, 10 * second], 1)
    found = probe_direction(tests, -tests, ["a"] * 4)
    np.testing.assert_allclose(found, np.array([[10, 1]]) / np.sqrt(101), atol=1e-4)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_no_difference_has_no_direction(name: str) -> None:
    same = np.random.default_rng(0).normal(size=(4, 3))
    assert DIRECTIONS[name](same, same, ["a", "a", "b", "b"]).shape == (0, 3)


def test_shares_of_depth_are_blocks_that_have_read_something() -> None:
    assert layers_at([0.25, 0.5, 0.75], 30) == [8, 15, 22]
    assert layers_at([0.0, 0.1, 1.0], 4) == [1, 3]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_projected_tests_and_controls_are_one_along_the_direction(
    model_folder: Path, tmp_path: Path, direction: str
) -> None:
    setting = steering(model_folder, tmp_path, direction=direction)
    selected = selected_prompts(setting)
    rows = selected.ids + selected.controls
    variant = steering_variants(setting)[0]
    own = last(setting.model.model, rows, 2)
    edits = variant.manifest(1.0)["change"]["edits"]
    basis = np.array([edit["direction"] for edit in edits])
    targets = np.array([edit["targets"][0] for edit in edits])
    np.testing.assert_allclose(targets, (own[len(selected.ids) :] @ basis.T).mean(0), atol=1e-5)
    assert np.abs(own @ basis.T - targets).max() > 0.1
    for strength in (1.0, 0.5):
        with variant.at(strength) as changed:
            edited = last(changed.model, rows, 2)
        np.testing.assert_allclose(edited @ basis.T - targets, (1 - strength) * (own @ basis.T - targets), atol=1e-5)
        rest = np.eye(16) - basis.T @ basis
        np.testing.assert_allclose(edited @ rest, own @ rest, atol=1e-5)


def test_each_layer_is_a_variant_and_all_together_one_more(model_folder: Path, tmp_path: Path) -> None:
    variants = steering_variants(steering(model_folder, tmp_path, layers=[0.5, 0.75, 0.8]))
    assert [variant.name for variant in variants] == ["layer 2", "layer 3", "layers 2, 3"]
    edits = [variant.manifest(1.0)["change"]["edits"] for variant in variants]
    assert [{edit["layer"] for edit in of_variant} for of_variant in edits] == [{2}, {3}, {2, 3}]
    assert edits[2] == edits[0] + edits[1]
    (alone,) = steering_variants(steering(model_folder, tmp_path, layers=[0.5]))
    assert alone.name == "layer 2"


def test_a_steered_model_is_the_one_that_its_manifest_opens(model_folder: Path, tmp_path: Path) -> None:
    setting = steering(model_folder, tmp_path)
    row = selected_prompts(setting).ids[0]
    own = last_logits(setting.model.model, row)
    variant = steering_variants(setting)[-1]
    opened = open_model(variant.manifest(0.7), LOADING)
    with variant.at(0.7) as changed:
        found = last_logits(changed.model, row)
    assert torch.equal(found, last_logits(opened.model, row))
    assert changed.identity == opened.identity != setting.model.identity
    assert (found - own).abs().max() > 1e-3
    with variant.at(0.0) as unchanged:
        assert torch.equal(last_logits(unchanged.model, row), own)
    assert torch.equal(last_logits(setting.model.model, row), own)


def test_the_evaluation_split_is_not_looked_at(model_folder: Path, tmp_path: Path) -> None:
    setting = steering(model_folder, tmp_path)
    tests = setting.items.tests
    without = setting._replace(items=setting.items._replace(tests=tests[tests["split"] == "selection"]))
    seen = setting._replace(items=setting.items._replace(tests=tests.assign(split="selection")))
    first, second, third = (steering_variants(one)[0].manifest(1.0) for one in (setting, without, seen))
    assert first == second != third


def test_mistakes_are_one_line(model_folder: Path, tmp_path: Path) -> None:
    setting = steering(model_folder, tmp_path)
    none = setting.items._replace(tests=setting.items.tests.assign(split="evaluation"))
    with pytest.raises(InputError, match="mitigations of m: got no test prompt of 6 in the selection split"):
        steering_variants(setting._replace(items=none))
    with pytest.raises(InputError, match="key 'direction': got 'up'; allowed: difference, principal, probe"):
        steering_variants(steering(model_folder, tmp_path, direction="up"))
    with pytest.raises(InputError, match="got no dictionary"):
        feature_variants(setting)


def planted(setting: Setting, folder: Path, **changes: Any) -> Setting:
    """Return a setting with a dictionary whose feature ``TOLD`` alone fires, along the tests' mean difference."""
    selected = selected_prompts(setting)
    tests, controls = (last(setting.model.model, rows, LAYER) for rows in (selected.ids, selected.controls))
    difference = tests.mean(0) - controls.mean(0)
    unit = torch.tensor(difference / np.linalg.norm(difference), dtype=torch.float32)
    decoder = torch.nn.functional.normalize(torch.randn(5, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    decoder[TOLD] = unit
    encoder = torch.zeros(16, 5)
    encoder[:, TOLD] = unit
    bias = torch.full((5,), -1.0)
    bias[TOLD] = 20.0
    save_dictionary(Dictionary(encoder, bias, decoder, torch.zeros(16), "relu", LAYER), folder)
    firing = pd.DataFrame({"feature": range(5), "maximum": 30.0, "mean_active": 20.0})
    return setting._replace(
        dictionary=describe_dictionary(folder, source="local", model="m"), firing=firing, entry={**FEATURES, **changes}
    )


def test_features_that_tell_tests_from_controls_are_edited(model_folder: Path, tmp_path: Path) -> None:
    setting = planted(steering(model_folder, tmp_path), tmp_path / "dictionary")
    (variant,) = feature_variants(setting)
    (edit,) = variant.manifest(0.25)["change"]["edits"]
    assert (edit["features"], edit["targets"], edit["strength"], edit["layer"]) == ([TOLD], [0.0], 0.25, LAYER)
    rows = selected_prompts(setting).ids
    unit = np.array(last(setting.model.model, rows, LAYER))
    with variant.at(1.0) as changed:
        found = last(changed.model, rows, LAYER)
        logits = last_logits(changed.model, rows[0])
    # x + 20 is what fires along the unit vector; ablated, nothing of it is left.
    moved = found - unit
    along = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs((found * along).sum(1)), 20.0, atol=1e-4)
    opened = open_model(variant.manifest(1.0), LOADING)
    assert torch.equal(last_logits(opened.model, rows[0]), logits)
    assert changed.identity == opened.identity


def test_a_mean_clamp_needs_features_with_a_mean(model_folder: Path, tmp_path: Path) -> None:
    setting = planted(steering(model_folder, tmp_path), tmp_path / "dictionary", edit="mean_clamp")
    (edit,) = feature_variants(setting)[0].manifest(1.0)["change"]["edits"]
    assert (edit["targets"], edit["gated"]) == ([20.0], True)
    silent = setting.firing.assign(mean_active=float("nan")) if setting.firing is not None else None
    with pytest.raises(InputError, match="got no feature of 5 that fires more in tests than in controls"):
        feature_variants(setting._replace(firing=silent))
