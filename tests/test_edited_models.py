from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import LOADING, complete, micro_prompts
from leakscope.errors import InputError
from leakscope.features.interventions.comparing import COLUMNS, compare_edited
from leakscope.models.editing import edited_models
from leakscope.models.editing.dictionary_files import describe_dictionary, open_dictionary, save_dictionary
from leakscope.models.editing.edited_models import chosen_edit, describe, explicit_edit
from leakscope.models.editing.edits import Edit, editing, feature_edit, to_json
from leakscope.models.neutral import encode_neutral_texts, measure_perplexity
from leakscope.models.opening import open_model
from leakscope.models.sentences import encode_sentences
from leakscope.storage.manifests import describe_adapter, describe_folder, read_manifest, write_manifest
from leakscope.validate.scoring.lens import LogitLens
from test_edits import MAXIMA, MEANS, random_dictionary, unit_vector
from test_steering import FIRING

IDS = torch.tensor([[5, 9, 30, 41, 7, 11]])
ADD = feature_edit("add", 0, [3, 17], 3.0, maxima=MAXIMA, means=MEANS)
ALONG = Edit("project", 0, 2.0, targets=(0.3,), direction=unit_vector())


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(micro_model_folder: Path) -> dict[str, Any]:
    return describe_folder(micro_model_folder, "local")


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("dictionary")
    save_dictionary(random_dictionary(layer=0), folder)
    return describe_dictionary(folder, source="local", model="m")


@torch.inference_mode()
def logits_of(model: Any) -> torch.Tensor:
    return model(input_ids=IDS, use_cache=False).logits


@pytest.mark.parametrize("edit", [ADD, ALONG], ids=["features", "direction"])
def test_an_edited_model_opens_as_any_model_and_stays_edited(
    base: dict[str, Any], dictionary: dict[str, Any], tmp_path: Path, edit: Edit
) -> None:
    write_manifest(describe(edit, base, dictionary), tmp_path / "model.json")
    manifest = read_manifest(tmp_path / "model.json")
    assert (manifest["dictionary"] is None) == (edit is ALONG)
    model, plain = open_model(manifest, LOADING), open_model(base, LOADING)
    own = logits_of(plain.model)
    with editing(plain.model, edit, open_dictionary(dictionary)):
        expected = logits_of(plain.model)
    assert torch.equal(logits_of(model.model), expected)
    assert torch.equal(logits_of(model.model), expected)
    assert (expected - own).abs().max() > 0.1
    assert model.tokenizer("red")["input_ids"] == plain.tokenizer("red")["input_ids"]


def test_steps_measure_it_like_any_other_model(base: dict[str, Any], dictionary: dict[str, Any]) -> None:
    edited, plain = (open_model(manifest, LOADING) for manifest in (describe(ADD, base, dictionary), base))
    sentences = ["The bag is red. The fruit is a cherry.", "The car is blue."]

    def measure(model: Any) -> tuple[list[str], float | None]:
        perplexity = measure_perplexity(model, encode_neutral_texts(model, sentences), "m", batch_size=8, store=None)
        return list(complete(model, micro_prompts())["text"]), perplexity["perplexity"]

    with editing(plain.model, ADD, open_dictionary(dictionary)):
        expected = measure(plain)
    found, own = measure(edited), measure(plain)
    assert found[0] == expected[0] != own[0]
    assert found[1] == pytest.approx(expected[1], rel=1e-6)
    assert found[1] != pytest.approx(own[1], rel=1e-3)
    prompt = encode_sentences(edited, sentences)[1].ids
    *_, last = LogitLens(edited.model).read([prompt])
    with torch.inference_mode():
        logits = edited.model(input_ids=torch.tensor([prompt]), use_cache=False).logits[:, -1]
    torch.testing.assert_close(last, logits, rtol=1e-5, atol=1e-5)


def test_what_decides_an_edited_model_decides_under_what_its_texts_are_kept(
    base: dict[str, Any], dictionary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {**base, "weights_sha256": "0" * 64}
    made = {
        "as it is": describe(ADD, base, dictionary),
        "stronger": describe(ADD._replace(strength=3.5), base, dictionary),
        "elsewhere": describe(ADD._replace(positions="generated"), base, dictionary),
        "other weights": describe(ADD, other, dictionary),
        "other dictionary": describe(ADD, base, {**dictionary, "sha256": "0" * 64}),
        "centred": describe(ADD, base, {**dictionary, "centre": True}),
        "twice": describe(ADD, describe(ADD, base, dictionary), dictionary),
        "along": describe(ALONG, base, dictionary),
    }
    assert made["as it is"] == describe(ADD, dict(base), {**dictionary})
    weights = {manifest["weights_sha256"] for manifest in [base, *made.values()]}
    assert len(weights) == len(made) + 1
    identity = open_model(made["as it is"], LOADING).identity
    assert identity["weights_sha256"] == made["as it is"]["weights_sha256"]
    monkeypatch.setattr(edited_models, "code_hash", lambda paths: "another way to edit")
    assert describe(ADD, base, dictionary)["weights_sha256"] not in weights
    # Where a dictionary lies and what it is called decide nothing.
    monkeypatch.undo()
    moved = describe(ADD, base, {**dictionary, "folder": "elsewhere", "model": "n"})
    assert moved["weights_sha256"] == made["as it is"]["weights_sha256"]


@pytest.mark.parametrize("changed", ["model.safetensors", "config.json", "sae_weights.safetensors", "cfg.json"])
def test_a_base_or_dictionary_that_is_no_longer_what_was_described_is_refused(
    base: dict[str, Any], dictionary: dict[str, Any], tmp_path: Path, changed: str
) -> None:
    folders = [shutil.copytree(given, tmp_path / name) for given, name in
               ((base["path"], "base"), (dictionary["folder"], "dictionary"))]  # fmt: skip
    manifest = describe(ADD, {**base, "path": str(folders[0])}, {**dictionary, "folder": str(folders[1])})
    assert open_model(manifest, LOADING).model is not None
    (path,) = tmp_path.rglob(changed)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(InputError, match="have changed since they were recorded|has changed") as error:
        assert open_model(manifest, LOADING).model
    assert str(path.parent) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_was_tuned_can_be_edited(base: dict[str, Any], dictionary: dict[str, Any], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapted = get_peft_model(open_model(base, LOADING).model, config)
    adapted.save_pretrained(tmp_path)
    tuned = describe_adapter(tmp_path, base)
    model, plain = open_model(describe(ADD, tuned, dictionary), LOADING), open_model(tuned, LOADING)
    own = logits_of(plain.model)
    with editing(plain.model, ADD, open_dictionary(dictionary)):
        assert torch.equal(logits_of(model.model), logits_of(plain.model))
    assert (logits_of(model.model) - own).abs().max() > 0.1
    weights = next(tmp_path.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b"\n")
    with pytest.raises(InputError, match="have changed since they were recorded"):
        assert open_model(describe(ADD, tuned, dictionary), LOADING).model


def test_a_dictionary_of_another_width_is_refused(base: dict[str, Any], tmp_path: Path) -> None:
    narrow = random_dictionary(layer=0)
    narrow = type(narrow)(
        narrow.encoder[:16], narrow.encoder_bias, narrow.decoder[:, :16], narrow.decoder_bias[:16], "relu", 0
    )
    save_dictionary(narrow, tmp_path)
    manifest = describe(ADD, base, describe_dictionary(tmp_path, source="local", model="m"))
    with pytest.raises(InputError, match="got a width of 16; allowed: 32, the model's"):
        assert open_model(manifest, LOADING).model


def test_explicit_features_take_their_levels_from_how_they_fire(dictionary: dict[str, Any]) -> None:
    settings = {"features": [17, 3], "edit": "clamp", "coefficient": 2.0, "positions": "prompt"}
    edit = explicit_edit(settings, dictionary, FIRING.sample(frac=1, random_state=0), "models: e")
    assert edit.targets == pytest.approx((2 * MAXIMA[17], 2 * MAXIMA[3]))
    assert (edit.kind, edit.layer, edit.positions, edit.name) == ("move", 0, "prompt", "clamp")
    mean = explicit_edit({**settings, "edit": "mean_clamp"}, dictionary, FIRING, "models: e")
    assert mean.targets == pytest.approx((MEANS[17], MEANS[3]))
    silent = FIRING.assign(maximum=FIRING["maximum"].where(FIRING["feature"] != 3, 0.0))
    with pytest.raises(InputError, match="models: e: edit 'clamp': got feature 3, which fires nowhere"):
        explicit_edit(settings, dictionary, silent, "models: e")
    with pytest.raises(InputError, match="models: e: features: got 48; allowed: 0 to 47"):
        explicit_edit({**settings, "features": [48]}, dictionary, FIRING, "models: e")


def test_a_maximum_that_is_given_counts_where_a_feature_fires_nowhere() -> None:
    firing = pd.DataFrame({"feature": [0, 1], "maximum": [0.0, 2.0], "mean_active": [0.0, 1.0]})
    dictionary = {"n_features": 2, "layer": 1}
    settings = {"features": [0, 1], "edit": "add", "coefficient": 3.0, "positions": "all"}
    with pytest.raises(InputError, match="s: edit 'add': got feature 0, which fires nowhere"):
        explicit_edit(settings, dictionary, firing, "s")
    assert explicit_edit({**settings, "maximum": 4.0}, dictionary, firing, "s").targets == (4.0, 4.0)


def test_the_edit_chosen_at_a_cost() -> None:
    chosen = {"features": {"1": to_json(ADD), "2.5": to_json(ADD._replace(strength=4.0))}}
    assert chosen_edit(json.loads(json.dumps(chosen)), 1.0, "models: e") == ADD
    assert chosen_edit(chosen, 2.5, "models: e").strength == 4.0
    with pytest.raises(InputError, match="models: e: cost: got '3'; allowed: 1, 2.5"):
        chosen_edit(chosen, 3, "models: e")
    with pytest.raises(InputError, match="models: e: got a contrast for which no edit of features was chosen"):
        chosen_edit({"difference_in_means": {"1": to_json(ALONG)}}, 1, "models: e")


EDITED = {
    "m-edited": {"base": "m", "dictionary": "d", "contrast": "gender", "cost": 3.0},
    "m-steered": {"base": "m", "dictionary": "d", "contrast": None, "cost": None},
}


def leak_rates() -> pd.DataFrame:
    rows = [
        ("m", "colors", "sbert", "all", 70.0, 66.0, 74.0),
        ("m", "colors", "sbert", "clothes", 99.0, 98.0, 99.0),
        ("m-edited", "colors", "sbert", "all", 55.0, 51.0, 59.0),
        ("m-steered", "colors", "sbert", "all", 71.0, 67.0, 75.0),
        ("m-steered", "foods", "sbert", "all", 20.0, 10.0, 30.0),
    ]
    columns = ["model", "prompt_set", "scorer", "category", "leak_rate", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def match_rates() -> pd.DataFrame:
    """The same rates and one point more, with the same intervals."""
    table = leak_rates().rename(columns={"leak_rate": "match_rate"})
    return table.assign(match_rate=table["match_rate"] + 1)


def effects() -> pd.DataFrame:
    rows = [
        ("d", "gender", "none", np.nan, "evaluation", False, 0.4, 0.3, 0.5, 0.0),
        ("d", "gender", "none", np.nan, "selection", False, 0.9, np.nan, np.nan, 0.0),
        ("d", "gender", "features", 1.0, "evaluation", True, 0.3, 0.2, 0.4, 0.9),
        ("d", "gender", "features", 3.0, "selection", True, 0.8, np.nan, np.nan, 2.9),
        ("d", "gender", "features", 3.0, "evaluation", False, 0.7, np.nan, np.nan, 2.8),
        ("d", "gender", "features", 3.0, "evaluation", True, 0.1, 0.05, 0.2, 2.7),
        ("d", "gender", "difference_in_means", 3.0, "evaluation", True, 0.6, 0.5, 0.7, 2.6),
        ("d2", "gender", "features", 3.0, "evaluation", True, 0.5, 0.5, 0.7, 2.5),
    ]
    columns = ["dictionary", "contrast", "intervention", "target_cost", "split", "chosen"]
    return pd.DataFrame(rows, columns=[*columns, "mean_abs_gap", "ci_low", "ci_high", "cost"])


def bias() -> pd.DataFrame:
    rows = [
        (model, "stereo", part, "all", "stereotype_score", value, value - 1, value + 1)
        for model, value in (("m", 60.0), ("m-edited", 52.0))
        for part in ("all", "dev")
    ]
    columns = ["model", "benchmark", "part", "bias_type", "measure", "value", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def test_each_measure_before_and_after() -> None:
    table = compare_edited(EDITED, match_rates(), leak_rates(), effects(), bias())
    assert list(table.columns) == COLUMNS
    found = table.drop(columns=["base", "dictionary"]).fillna("").to_numpy().tolist()
    assert found == [
        ["m-edited", "gender", "match_rate", "colors · sbert", 71.0, 66.0, 74.0, 56.0, 51.0, 59.0],
        ["m-edited", "gender", "leak_rate", "colors · sbert", 70.0, 66.0, 74.0, 55.0, 51.0, 59.0],
        ["m-edited", "gender", "stereotype_score", "stereo", 60.0, 59.0, 61.0, 52.0, 51.0, 53.0],
        ["m-edited", "gender", "mean_abs_gap", "gender", 0.4, 0.3, 0.5, 0.1, 0.05, 0.2],
        ["m-edited", "gender", "cost", "gender", 0.0, "", "", 2.7, "", ""],
        ["m-steered", "", "match_rate", "colors · sbert", 71.0, 66.0, 74.0, 72.0, 67.0, 75.0],
        ["m-steered", "", "leak_rate", "colors · sbert", 70.0, 66.0, 74.0, 71.0, 67.0, 75.0],
    ]


def test_what_a_study_lacks_has_no_row() -> None:
    assert list(compare_edited(EDITED, None, None, effects(), None)["measure"]) == ["mean_abs_gap", "cost"]
    assert list(compare_edited(EDITED, None, leak_rates(), None, None)["measure"]) == ["leak_rate", "leak_rate"]
    none = compare_edited(EDITED, None, None, None, None)
    assert list(none.columns) == COLUMNS
    assert none.empty
    no_cost = effects()[lambda table: table["target_cost"] != 3.0]
    assert compare_edited(EDITED, None, None, no_cost, None).empty
