from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from helpers import LOADING
from leakscope.errors import InputError
from leakscope.features.interventions.steering import COLUMNS, Steered, encode_prompts, repeated_bigrams, steer
from leakscope.models.editing.dictionary_files import describe_dictionary, save_dictionary
from leakscope.models.editing.edited_models import describe, explicit_edit
from leakscope.models.editing.edits import editing
from leakscope.models.opening import LanguageModel, open_model
from leakscope.models.sampling import Decoding, draw_tokens, uniforms
from leakscope.models.sentences import encode_sentences
from leakscope.storage.manifests import describe_folder
from test_edits import MAXIMA, MEANS, N_FEATURES, random_dictionary

FIRING = pd.DataFrame({"feature": range(N_FEATURES), "maximum": MAXIMA.values(), "mean_active": MEANS.values()})
SETTINGS: dict[str, Any] = {
    "dictionary": "d",
    "features": [3, 17],
    "edit": "add",
    "coefficient": 2.0,
    "positions": "all",
    "temperature": 1.0,
    "prompts": ["The bag is red. The fruit is", "The car"],
    "samples": 4,
    "max_new_tokens": 6,
    "seed": 0,
    "chat": False,
}

Steer = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def manifests(micro_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The manifests of a model and of a dictionary of the input of its only block."""
    folder = tmp_path_factory.mktemp("dictionary")
    save_dictionary(random_dictionary(layer=0), folder)
    dictionary = describe_dictionary(folder, source="local", model="m")
    return SimpleNamespace(base=describe_folder(micro_model_folder, "local"), dictionary=dictionary)


@pytest.fixture(scope="module")
def steered(micro_model: LanguageModel, manifests: SimpleNamespace) -> Steer:
    torch.set_num_threads(1)

    def run(model: LanguageModel = micro_model, store: Path | None = None, **changes: Any) -> pd.DataFrame:
        settings = {**SETTINGS, **changes}
        made = Steered(manifests.base, explicit_edit(settings, manifests.dictionary, FIRING, "s"), manifests.dictionary)
        return steer(model, made, settings, name="s", chat_template_kwargs={}, store=store).table

    return run


@pytest.fixture(scope="module")
def texts(steered: Steer) -> pd.DataFrame:
    return steered()


def plain_text(model: LanguageModel, prompt: str, sample: int, temperature: float = 1.0) -> str:
    """Return a text by the slowest way there is, a token at a time, without cache or batch."""
    (encoded,) = encode_sentences(model, [prompt])
    ids = list(encoded.ids)
    for number in uniforms(prompt, SETTINGS["seed"], sample, SETTINGS["max_new_tokens"]):
        context = torch.tensor([ids])
        logits = model.model(input_ids=context, use_cache=False).logits[:, -1]
        token = int(draw_tokens(logits, context, Decoding(temperature), torch.tensor([[number]])))
        if token == model.tokenizer.eos_token_id:
            break
        ids.append(token)
    return model.tokenizer.decode(ids[len(encoded.ids) :], skip_special_tokens=True).strip()


@torch.inference_mode()
def test_both_texts_are_what_the_model_writes_by_the_same_numbers(
    texts: pd.DataFrame, micro_model: LanguageModel, manifests: SimpleNamespace
) -> None:
    assert list(texts.columns) == COLUMNS
    assert list(texts["prompt"]) == [prompt for prompt in SETTINGS["prompts"] for _ in range(4)]
    assert list(texts["sample"]) == [0, 1, 2, 3] * 2
    edit = explicit_edit(SETTINGS, manifests.dictionary, FIRING, "s")
    for _, row in texts.iterrows():
        assert row["without"] == plain_text(micro_model, row["prompt"], row["sample"])
        with editing(micro_model.model, edit, random_dictionary(layer=0)):
            assert row["with"] == plain_text(micro_model, row["prompt"], row["sample"])
    assert list(texts["changed"]) == list(texts["with"] != texts["without"])
    assert texts["changed"].any()
    assert set(texts["features"]) == {"3 17"}
    assert set(texts["dictionary"]) == {"d"}


def test_an_edit_of_strength_0_changes_no_text(steered: Steer, texts: pd.DataFrame) -> None:
    same = steered(edit="scale", coefficient=1.0)
    assert list(same["with"]) == list(same["without"]) == list(texts["without"])
    assert not same["changed"].any()


def test_an_edit_of_what_was_generated_leaves_the_first_token(steered: Steer, micro_model: LanguageModel) -> None:
    tables = {
        positions: steered(coefficient=9.0, positions=positions, max_new_tokens=1)
        for positions in ("all", "prompt", "generated")
    }
    assert not tables["generated"]["changed"].any()
    assert list(tables["prompt"]["with"]) == list(tables["all"]["with"])
    assert tables["prompt"]["changed"].any()
    longer = steered(coefficient=9.0, positions="generated")
    assert longer["changed"].any()
    assert list(longer["with"]) != list(steered(coefficient=9.0)["with"])


def test_temperature_0_and_other_seeds(steered: Steer, texts: pd.DataFrame) -> None:
    greedy = steered(temperature=0.0)
    assert greedy.groupby("prompt", sort=False)[["without", "with"]].nunique().to_numpy().tolist() == [[1, 1], [1, 1]]
    other = steered(seed=1)
    assert list(other["without"]) != list(texts["without"])


def test_texts_come_from_the_store_and_an_edited_model_finds_them(
    steered: Steer, texts: pd.DataFrame, manifests: SimpleNamespace, tmp_path: Path
) -> None:
    pd.testing.assert_frame_equal(steered(store=tmp_path), texts)
    base = open_model(manifests.base, LOADING)

    def refuse() -> Any:
        raise AssertionError("the weights were loaded, and all texts are there")

    silent = LanguageModel(base.tokenizer, base.config, base.generation_config, base.identity, refuse)
    pd.testing.assert_frame_equal(steered(silent, tmp_path), texts)
    with pytest.raises(AssertionError, match="the weights were loaded"):
        steered(silent, tmp_path, coefficient=2.5)
    fingerprints = {path.name: path for path in (tmp_path / "texts").iterdir()}
    assert len(fingerprints) == 2
    edit = explicit_edit(SETTINGS, manifests.dictionary, FIRING, "s")
    edited = open_model(describe(edit, manifests.base, manifests.dictionary), LOADING)
    saved = [(path / "fingerprint.json").read_text(encoding="utf-8") for path in fingerprints.values()]
    for model in (base, edited):
        assert sum(model.identity["weights_sha256"] in fingerprint for fingerprint in saved) == 1


def test_a_chat_goes_through_the_template(steered: Steer, micro_model: LanguageModel) -> None:
    (chat, ids), _ = encode_prompts(micro_model, {**SETTINGS, "chat": True}, {})
    (plain, own), _ = encode_prompts(micro_model, SETTINGS, {})
    assert plain == SETTINGS["prompts"][0]
    assert plain in chat
    assert len(chat) > len(plain)
    assert micro_model.tokenizer.decode(ids) == chat
    assert own[1:] == micro_model.tokenizer(plain, add_special_tokens=False)["input_ids"]
    assert list(steered(chat=True)["without"]) != list(steered()["without"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": [3, 48]}, "s: features: got 48; allowed: 0 to 47"),
        ({"features": [3, 3]}, "s: features: got 3 twice"),
        ({"max_new_tokens": 10_000}, "10000 new ones; the model reads at most"),
    ],
)
def test_what_cannot_be_steered_is_said_in_one_line(steered: Steer, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        steered(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "share"),
    [("a b c", 0.0), ("so so so so", 2 / 3), ("The cat. the cat. The", 0.5), ("a b a b a b", 0.6)],
)
def test_repetition_is_the_share_of_bigrams_that_stood_before(text: str, share: float) -> None:
    assert repeated_bigrams(text) == pytest.approx(share)


def test_without_a_bigram_there_is_no_repetition() -> None:
    assert pd.isna(repeated_bigrams("one"))
    assert pd.isna(repeated_bigrams(""))
