"""Dictionaries: what they read and write, their files in SAELens' format old and new, releases, quality and seeds."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file

from leakscope.errors import InputError
from leakscope.features.dictionaries.activations import Activations, write_activations
from leakscope.features.dictionaries.quality import CrossEntropy, measure_cross_entropy, measure_quality, missed_bars
from leakscope.features.dictionaries.reconstruction import measure_moments, measure_reconstruction
from leakscope.features.dictionaries.seeds import compare_seeds
from leakscope.features.dictionaries.texts import Window
from leakscope.models.editing.dictionary import Dictionary
from leakscope.models.editing.dictionary_files import (
    describe_dictionary,
    dictionary_patterns,
    load_dictionary,
    open_dictionary,
    save_dictionary,
)
from leakscope.models.editing.hook_names import hook_layer
from leakscope.models.editing.releases import RELEASES, find_release
from local_hub import COMMIT, local_hub
from test_log_odds import random_model

WIDTH, N_FEATURES = 8, 20
HOOK = "blocks.1.hook_resid_pre"
BAR = {"variance_unexplained": 0.4, "dead_share": 0.6, "cross_entropy_recovered": 0.7}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(**changes: Any) -> Dictionary:
    """Return a random dictionary of layer 1."""
    decoder = torch.nn.functional.normalize(draw(N_FEATURES, WIDTH), dim=-1)
    plain = Dictionary(decoder.T.clone(), draw(N_FEATURES, seed=1) / 5, decoder, draw(WIDTH, seed=2), "relu", 1)
    return dataclasses.replace(plain, **changes)


def residuals() -> torch.Tensor:
    return 3 * draw(2, 30, WIDTH, seed=3) + 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dictionary as SAELens saves it."""
    save_dictionary(made(metadata={"hook_name": HOOK, "model_name": "small"}), tmp_path / "saved")
    return tmp_path / "saved"


def change_settings(folder: Path, *without: str, **changes: Any) -> None:
    path = folder / "cfg.json"
    settings = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({key: settings[key] for key in settings if key not in without}), encoding="utf-8")


def shard(path: Path, of: torch.Tensor) -> Path:
    numbers = [torch.full((len(of),), value, dtype=torch.int32) for value in (5, 0, 1)]
    write_activations(Activations(of.contiguous(), *numbers), path)
    return path


def refusal(folder: Path, **arguments: Any) -> str:
    with pytest.raises(InputError) as raised:
        load_dictionary(folder, **arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# What a dictionary reads and writes.


def test_top_k_keeps_the_largest_and_nothing_below_zero() -> None:
    dictionary = made(activation="topk", k=3, encoder_bias=torch.full((N_FEATURES,), -3.0))
    before = (residuals() - dictionary.decoder_bias) @ dictionary.encoder + dictionary.encoder_bias
    encoded = dictionary.encode(residuals())
    third = before.sort(dim=-1, descending=True).values[..., 2:3]
    torch.testing.assert_close(encoded, torch.where(before >= third, before, 0.0).clamp(min=0))
    assert ((encoded > 0).sum(-1) < 3).any()


def test_a_threshold_cuts_off_and_does_not_shift() -> None:
    plain, cut = made(), made(activation="jumprelu", threshold=torch.full((N_FEATURES,), 0.7))
    expected = plain.encode(residuals())
    torch.testing.assert_close(cut.encode(residuals()), torch.where(expected > 0.7, expected, 0.0))


@pytest.mark.parametrize(
    "changes",
    [{}, {"activation": "topk", "k": 3}, {"activation": "jumprelu", "threshold": torch.arange(N_FEATURES) / 9}],
)
def test_some_features_are_active_as_they_are_among_all(changes: dict[str, Any]) -> None:
    dictionary, some = made(**changes), [4, 0, 7]
    found = dictionary.encode(residuals(), some)
    torch.testing.assert_close(found, dictionary.encode(residuals())[..., some])
    assert found.any()


def test_a_centred_dictionary_reads_no_mean_and_gives_it_back() -> None:
    dictionary = made(centre=True)
    moved = residuals() + 5
    torch.testing.assert_close(dictionary.encode(moved), dictionary.encode(residuals()), atol=1e-4, rtol=0)
    torch.testing.assert_close(dictionary.reconstruct(moved), dictionary.reconstruct(residuals()) + 5)
    assert not torch.allclose(made().encode(moved), made().encode(residuals()), atol=1e-2)


@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("centre", [False, True])
def test_what_is_written_is_how_the_reconstruction_changes(normalisation: str, centre: bool) -> None:
    dictionary = made(normalisation=normalisation, centre=centre)
    x = residuals()
    changed = dictionary.encode(x)
    change = draw(*x.shape[:-1], 2, seed=5)
    changed[..., [4, 9]] += change
    scale = 1.0
    if normalisation != "none":
        centred = x - x.mean(-1, keepdim=True) if centre or normalisation == "layer_norm" else x
        layer_norm = normalisation == "layer_norm"
        scale = centred.std(-1, keepdim=True) if layer_norm else centred.norm(dim=-1, keepdim=True) / WIDTH**0.5
    expected = (dictionary.decode(changed) - dictionary.decode(dictionary.encode(x))) * scale
    torch.testing.assert_close(dictionary.written(x, [4, 9], change), expected, atol=1e-4, rtol=1e-4)


def test_half_precision_is_read_as_float32() -> None:
    half = residuals().to(torch.bfloat16)
    assert made().encode(half).dtype == torch.float32
    torch.testing.assert_close(made().encode(half), made().encode(half.float()))


# Files.


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "topk", "k": 3},
        {"activation": "jumprelu", "threshold": draw(N_FEATURES, seed=6)},
        {"centre": True, "subtracts_bias": False},
        {"normalisation": "layer_norm"},
    ],
    ids=["relu", "topk", "jumprelu", "centred", "layer_norm"],
)
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, changes: dict[str, Any]) -> None:
    dictionary = made(**changes)
    for name in ("one", "two"):
        save_dictionary(dictionary, tmp_path / name, firing_rates=torch.full((N_FEATURES,), 0.01))
    found = load_dictionary(tmp_path / "one")
    assert torch.equal(found.encode(residuals()), dictionary.encode(residuals()))
    assert torch.equal(found.reconstruct(residuals()), dictionary.reconstruct(residuals()))
    assert (found.layer, found.centre, found.n_features, found.width) == (1, dictionary.centre, N_FEATURES, WIDTH)
    for name in ("sae_weights.safetensors", "cfg.json", "sparsity.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    sparsity = load_file(tmp_path / "one/sparsity.safetensors")["sparsity"]
    torch.testing.assert_close(sparsity, torch.full((N_FEATURES,), -2.0))
    settings = json.loads((tmp_path / "one/cfg.json").read_text(encoding="utf-8"))
    assert list(settings) == sorted(settings)


def test_settings_of_releases_before_metadata(folder: Path) -> None:
    old = {"hook_point": "blocks.3.hook_resid_pre", "hook_point_layer": 3, "model_name": "gpt2-small"}
    change_settings(folder, "metadata", "architecture", **old, activation_fn_str="relu", normalize_activations=False)
    found = load_dictionary(folder)
    assert (found.layer, found.activation, found.metadata["model_name"]) == (3, "relu", "gpt2-small")
    change_settings(folder, activation_fn_str="topk", activation_fn_kwargs={"k": 4})
    assert int((load_dictionary(folder).encode(residuals()) > 0).sum(-1).max()) == 4


def test_a_gate_is_a_threshold(folder: Path) -> None:
    weights = load_file(folder / "sae_weights.safetensors")
    gate, growth, magnitude = draw(N_FEATURES, seed=7), draw(N_FEATURES, seed=8) / 2, weights.pop("b_enc")
    save_file({**weights, "b_gate": gate, "r_mag": growth, "b_mag": magnitude}, folder / "sae_weights.safetensors")
    change_settings(folder, architecture="gated")
    x = residuals() - weights["b_dec"]
    opened = x @ weights["W_enc"] + gate > 0
    expected = opened * (x @ (weights["W_enc"] * growth.exp()) + magnitude).relu()
    torch.testing.assert_close(load_dictionary(folder).encode(residuals()), expected)


@pytest.mark.parametrize(
    ("hook", "layer"),
    [
        ("blocks.0.hook_resid_pre", 0),
        ("blocks.11.hook_resid_post", 12),
        ("blocks.4.hook_in", 4),
        ("blocks.4.hook_out", 5),
        ("model.layers.6", 7),
        ("transformer.h.2", 3),
        ("blocks.4.hook_mlp_out", None),
        ("blocks.4.hook_resid_mid", None),
        ("blocks.4.attn.hook_z", None),
        ("blocks.4.hook_resid_pre.extra", None),
    ],
)
def test_hooks_and_their_layers(hook: str, layer: int | None) -> None:
    assert hook_layer(hook) == layer


def test_layer_and_centre_are_as_the_metadata_says(folder: Path) -> None:
    assert load_dictionary(folder, layer=1).layer == 1
    assert "layer: got 2; its cfg.json says blocks.1.hook_resid_pre, the input of block 1" in refusal(folder, layer=2)
    centred = {"hook_name": HOOK, "model_from_pretrained_kwargs": {"center_writing_weights": True}}
    change_settings(folder, metadata=centred)
    assert load_dictionary(folder).centre
    assert not load_dictionary(folder, centre=False).centre
    change_settings(folder, metadata={})
    assert load_dictionary(folder, layer=2).layer == 2
    assert not load_dictionary(folder, layer=2).centre
    assert "say which `layer`" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"architecture": "transcoder"}, "architecture: got 'transcoder'; allowed: gated, jumprelu, standard, topk"),
        ({"metadata": {"hook_name": HOOK, "hook_name_out": "blocks.1.hook_mlp_out"}}, "a transcoder cannot be read"),
        ({"metadata": {"hook_name": "blocks.1.hook_mlp_out"}}, "hook_name: got 'blocks.1.hook_mlp_out'; allowed"),
        ({"reshape_activations": "hook_z"}, "reads attention heads"),
        ({"normalize_activations": "expected_average_only_in"}, "whose factor is not in the files; fold it"),
        ({"normalize_activations": True}, "whose factor is not in the files; fold it"),
        ({"normalize_activations": "covariance_whitening"}, "normalize_activations: got 'covariance_whitening'"),
        ({"activation_fn_str": "tanh-relu"}, "activation_fn: got 'tanh-relu'; allowed: relu, topk"),
        ({"architecture": "topk"}, "k: got None; allowed: a whole number from 1"),
        ({"architecture": "topk", "k": 21}, "k: got 21; allowed: at most d_sae, 20"),
        ({"architecture": "jumprelu"}, "allowed: W_enc, b_enc, W_dec, b_dec, threshold"),
        ({"d_in": 9}, "W_enc: has shape [8, 20]; allowed: [9, 20]"),
    ],
)
def test_what_cannot_be_read_is_one_line(folder: Path, changes: dict[str, Any], told: str) -> None:
    change_settings(folder, **changes)
    message = refusal(folder)
    assert told in message
    assert str(folder) in message


def test_broken_files_are_one_line(folder: Path) -> None:
    weights = load_file(folder / "sae_weights.safetensors")
    save_file({**weights, "b_enc": torch.full((N_FEATURES,), torch.nan)}, folder / "sae_weights.safetensors")
    assert "b_enc: holds values that are not finite" in refusal(folder)
    (folder / "sae_weights.safetensors").write_bytes(b"no weights")
    assert "is no safetensors file" in refusal(folder)
    (folder / "cfg.json").write_text("{", encoding="utf-8")
    assert "cfg.json: got invalid JSON" in refusal(folder)
    (folder / "cfg.json").unlink()
    assert "got no cfg.json" in refusal(folder)


def test_a_manifest_opens_what_it_describes_and_nothing_else(folder: Path) -> None:
    manifest = describe_dictionary(folder, source="local", model="small")
    told = {key: manifest[key] for key in ("source", "folder", "layer", "centre", "model", "n_features", "width")}
    assert told == {
        **{"source": "local", "folder": str(folder), "layer": 1, "centre": False, "model": "small"},
        **{"n_features": N_FEATURES, "width": WIDTH},
    }
    assert torch.equal(open_dictionary(manifest).decoder, made().decoder)
    save_dictionary(made(decoder_bias=torch.zeros(WIDTH)), folder)
    with pytest.raises(InputError, match="has changed since it was read"):
        open_dictionary(manifest)
    (folder / "sae_weights.safetensors").unlink()
    with pytest.raises(InputError, match="is gone"):
        open_dictionary(manifest)


# Of the hub.

FETCH = """
import json
from leakscope.models.editing.dictionary_files import fetch_dictionary
arguments = dict(model="gpt2", layer=1, centre=None)
print(json.dumps(fetch_dictionary("gpt2-small-res-jb", None, "main", **arguments)))
"""


def test_a_dictionary_is_fetched_once_and_opened_without_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    for layer in (0, 1):
        save_dictionary(made(layer=layer), repository / f"blocks.{layer}.hook_resid_pre")
    # The files of this release do not say that it reads centred residuals.
    change_settings(repository / HOOK, metadata={"hook_name": HOOK})
    scripts = str(Path(__file__).resolve().parents[1] / "scripts")
    with local_hub({"jbloom/GPT2-Small-SAEs-Reformatted": repository}) as hub:
        environment = {**os.environ, "PYTHONPATH": scripts, "HF_HOME": str(tmp_path / "cache"), **hub.environment}
        done = subprocess.run(
            [sys.executable, "-c", FETCH], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not any("resolve" in request and "blocks.0" in request for request in hub.requests)
    manifest = json.loads(done.stdout)
    assert (manifest["repo"], manifest["commit"]) == ("jbloom/GPT2-Small-SAEs-Reformatted", COMMIT)
    assert (manifest["folder"], manifest["centre"], manifest["source"]) == (HOOK, True, "hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache/hub"))
    opened = open_dictionary(manifest)
    assert (opened.layer, opened.centre) == (1, True)
    assert torch.equal(opened.encoder, made().encoder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="dictionary jbloom/.*is not in the hub cache.*set HF_HOME"):
        open_dictionary(manifest)


@pytest.mark.parametrize("folder", [".", "./", "", "sub/0", "./sub/0"])
def test_files_of_a_repository_are_asked_for_by_their_paths_in_it(folder: str) -> None:
    """The hub compares paths as text, and none of its begins with ``./``."""
    inside = "sub/0/" if "sub" in folder else ""
    files = [f"{inside}cfg.json", f"{inside}sae_weights.safetensors", "README.md", "other/cfg.json"]
    assert list(filter_repo_objects(files, allow_patterns=dictionary_patterns(folder))) == files[:2]


def test_releases_name_a_folder_by_layer() -> None:
    assert find_release("gpt2-small-res-jb", None, 8)[:2] == (
        "jbloom/GPT2-Small-SAEs-Reformatted",
        "blocks.8.hook_resid_pre",
    )
    # What block 4 leaves is what block 5 reads.
    assert find_release("gemma-2-2b-res-matryoshka-dc", None, 5).folder == "standard/blocks.4.hook_resid_post"
    assert find_release("someone/dictionaries", "layer 3", 3) == ("someone/dictionaries", "layer 3", None)
    for name, layer, told in (
        ("gpt2-small-res", 1, "allowed: .*gpt2-small-res-jb.* or the id of a repository"),
        ("someone/dictionaries", 1, "got no `folder`"),
        ("gpt2-small-res-jb", None, "layer: got None"),
        ("pythia-70m-deduped-res-sm", 0, "layer: got 0; allowed: from 1"),
    ):
        with pytest.raises(InputError, match=told):
            find_release(name, None, layer)
    assert all("{layer}" in release.folder for release in RELEASES.values())


# Quality.


def test_what_is_unexplained_by_hand(tmp_path: Path) -> None:
    rows = residuals().reshape(-1, WIDTH)
    paths = [shard(tmp_path / "a.safetensors", rows[:25]), shard(tmp_path / "b.safetensors", rows[25:])]
    dictionary = made(activation="topk", k=3, encoder_bias=torch.tensor([-100.0, -100.0, *[0.0] * (N_FEATURES - 2)]))
    found = measure_reconstruction(dictionary, paths, 7)
    encoded = dictionary.encode(rows)
    error = (dictionary.reconstruct(rows) - rows).square().sum()
    assert found.variance_unexplained == pytest.approx(float(error / (rows - rows.mean(0)).square().sum()), rel=1e-5)
    assert found.l0 == pytest.approx(float((encoded > 0).float().sum(-1).mean()))
    assert found.dead_share == float((encoded == 0).all(0).double().mean()) >= 2 / N_FEATURES
    assert found.n_tokens == len(rows)
    torch.testing.assert_close(measure_moments(paths, 7).mean.float(), rows.mean(0))
    with pytest.raises(InputError, match="width 8; allowed: 6"):
        measure_reconstruction(made(decoder=draw(N_FEATURES, 6)), paths, 7)


def test_the_mean_that_centring_takes_off_is_no_variance_explained(tmp_path: Path) -> None:
    rows = residuals().reshape(-1, WIDTH) + 100 * draw(60, 1, seed=9)
    centred = rows - rows.mean(-1, keepdim=True)
    dictionary = made(centre=True, activation="topk", k=3)
    of_raw = measure_reconstruction(dictionary, [shard(tmp_path / "raw.safetensors", rows)], 100)
    of_centred = measure_reconstruction(dictionary, [shard(tmp_path / "centred.safetensors", centred)], 100)
    assert of_raw.variance_unexplained == pytest.approx(of_centred.variance_unexplained, rel=1e-3)


def identity(width: int, layer: int, kept: float = 1.0) -> Dictionary:
    """Return a dictionary that gives back ``kept`` of every residual: a feature for each direction and its opposite."""
    both = torch.cat([torch.eye(width), -torch.eye(width)])
    return Dictionary(both.T.clone(), torch.zeros(2 * width), kept * both, torch.zeros(width), "relu", layer)


def windows() -> list[Window]:
    rows = [torch.randint(3, 90, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in (9, 4, 14, 2, 7)]
    return [Window(number, ids, range(1, len(ids))) for number, ids in enumerate(rows)]


def test_cross_entropy_of_what_is_put_in_for_a_residual() -> None:
    model = random_model("llama")
    width = model.config.hidden_size
    mean = 3 * draw(width, seed=4)
    found = measure_cross_entropy(identity(width, 1), mean, model, windows(), batch_size=2, name="d")
    losses = []
    with torch.inference_mode():
        for window in windows():
            ids = torch.tensor([window.ids])
            losses.append(model(ids, labels=ids).loss.double() * len(window.kept))
    expected = float(sum(losses)) / sum(len(window.kept) for window in windows())
    assert found.model == pytest.approx(expected, rel=1e-5)
    assert found.reconstructed == pytest.approx(found.model, rel=1e-5)
    assert found.mean != pytest.approx(found.model, rel=1e-3)
    # One that gives back nothing puts its bias in for every residual, here the mean.
    empty = dataclasses.replace(identity(width, 1, kept=0.0), decoder_bias=mean)
    other = measure_cross_entropy(empty, mean, model, windows(), batch_size=5, name="d")
    assert other.reconstructed == pytest.approx(other.mean, rel=1e-5) == pytest.approx(found.mean, rel=1e-5)


def test_the_residuals_of_the_beginning_stay() -> None:
    model = random_model("llama")
    width = model.config.hidden_size
    longer = [window._replace(kept=range(2, len(window.ids))) for window in windows() if len(window.ids) > 2]
    found = measure_cross_entropy(identity(width, 0), torch.zeros(width), model, longer, batch_size=2, name="d")
    embeddings, losses = model.get_input_embeddings(), []
    with torch.inference_mode():
        for window in longer:
            ids = torch.tensor([window.ids])
            hidden = embeddings(ids)
            hidden[:, 2:] = 0
            logits = model(inputs_embeds=hidden).logits[0, 1:-1]
            losses.append(torch.nn.functional.cross_entropy(logits, ids[0, 2:], reduction="sum").double())
    assert found.mean == pytest.approx(float(sum(losses)) / sum(len(window.kept) for window in longer), rel=1e-5)


def test_a_share_is_recovered_only_of_something() -> None:
    assert CrossEntropy(2.0, 2.5, 4.0).recovered == pytest.approx(0.75)
    assert CrossEntropy(2.0, 2.0, 2.001).recovered is None
    assert CrossEntropy(2.0, 2.0, 1.5).recovered is None


def test_which_bar_is_missed() -> None:
    good = {"variance_unexplained": 0.4, "dead_share": 0.6, "cross_entropy_recovered": 0.7}
    assert missed_bars(good, BAR) == []
    assert missed_bars({**good, "cross_entropy_recovered": None}, BAR) == []
    for name, value in (("variance_unexplained", 0.41), ("dead_share", 0.61), ("cross_entropy_recovered", 0.69)):
        assert missed_bars({**good, name: value}, BAR) == [name]
    assert missed_bars({**good, "variance_unexplained": float("nan")}, BAR) == ["variance_unexplained"]


def test_the_quality_of_a_dictionary(tmp_path: Path) -> None:
    model = random_model("llama")
    width = model.config.hidden_size
    paths = [shard(tmp_path / "held_out.safetensors", draw(40, width, seed=1))]
    found = measure_quality(identity(width, 1), paths, model, windows(), BAR, batch_size=8, name="d")
    assert found["variance_unexplained"] == pytest.approx(0.0, abs=1e-9)
    assert (found["dead_share"], found["l0"], found["n_tokens"]) == (0.0, width, 40)
    assert (found["passes"], found["missed"], found["bar"]) == (True, [], BAR)
    poor = measure_quality(identity(width, 1, kept=0.1), paths, model, windows(), BAR, batch_size=8, name="d")
    assert not poor["passes"]
    assert "variance_unexplained" in poor["missed"]
    json.dumps(found, allow_nan=False)


# Seeds.


def test_a_permuted_dictionary_has_all_the_same_features() -> None:
    decoder = draw(N_FEATURES, WIDTH)
    order = torch.randperm(N_FEATURES, generator=torch.Generator().manual_seed(1))
    same = {"one.s0": decoder, "one.s1": 3 * decoder[order]}
    found = compare_seeds({"one": same, "two": {"two.s0": decoder, "two.s1": -decoder, "two.s2": decoder}})
    row = found.summary.iloc[0]
    assert (row["entry"], row["dictionary"], row["other"], row["n_features"]) == ("one", "one.s0", "one.s1", N_FEATURES)
    for name in ("cosine_mean", "cosine_median", "cosine_shared", "partner_cosine_mean", "partner_cosine_shared"):
        assert row[name] == pytest.approx(1.0, abs=1e-6)
    assert 0.3 < row["chance"] < 0.9
    cosines = found.cosines.query("dictionary == 'one.s0'")
    assert order[cosines["nearest"].tolist()].tolist() == list(range(N_FEATURES))
    assert cosines["partner"].tolist() == cosines["nearest"].tolist()
    assert len(found.summary) == 4
    opposite = found.summary.query("dictionary == 'two.s0' and other == 'two.s1'").iloc[0]
    assert opposite["cosine_mean"] < 0.99


def test_a_feature_has_one_partner_but_may_be_nearest_to_many() -> None:
    one = torch.eye(3)
    other = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.1, 0.0], [0.0, 0.1, 1.0]])
    cosines = compare_seeds({"e": {"a": one, "b": other}}).cosines
    back = cosines.query("dictionary == 'b'")
    assert back["nearest"].tolist() == [0, 0, 2]
    assert back["partner"].tolist() == [0, 1, 2]
    unit = torch.nn.functional.normalize(other, dim=-1)
    assert back["partner_cosine"].tolist() == pytest.approx(unit.diagonal().tolist())
