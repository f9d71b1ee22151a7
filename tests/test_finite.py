"""What a model says that gives no numbers: one line, wherever its logits are read, and nothing in the store."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from helpers import LOADING, SETTINGS, byte_tokenizer, complete, in_memory, save_model, small_config
from leakscope.errors import InputError
from leakscope.features.bias.pairs import score_pairs
from leakscope.features.bias.tables import SentencePair
from leakscope.features.contrasts.contrast_activations import record_contrast
from leakscope.features.contrasts.words import EncodedTexts, WordSet
from leakscope.features.description.unembedding import effective_unembedding
from leakscope.features.dictionaries.quality import measure_cross_entropy
from leakscope.features.dictionaries.texts import Window
from leakscope.features.interventions.effects import ItemTexts
from leakscope.ground.sentence_scores import score_sentences
from leakscope.ground.sentence_templates import SentenceTemplate
from leakscope.ground.templates import fill
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.checking import check_checkpoint
from leakscope.models.editing.dictionary import Dictionary
from leakscope.models.editing.residuals import read_residuals
from leakscope.models.finite import all_finite, are_distributions, has_nan
from leakscope.models.neutral import encode_neutral_texts, measure_perplexity
from leakscope.models.opening import LanguageModel, open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.storage.manifests import describe_folder
from leakscope.validate.scoring.item_scores import (
    GeneratorItem,
    score_generator,
    score_generator_by_layer,
    score_validator,
    score_validator_by_layer,
)
from leakscope.validate.scoring.lens_item import lens_of_item
from tiny_task import tiny_asking, tiny_items

PLAIN = {"chat": False, "stop": "length", "max_new_tokens": 3}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 512}
PROMPTS = pd.DataFrame(
    {
        "prompt_set": "s",
        "prompt_id": ["good", "bad"],
        "prompt": ["The longer of two prompts", "He has a z"],
        "slot": "c",
    }
)
CANDIDATES = pd.DataFrame({"slot": "c", "candidate": ["red", "blue"]})


def lame(architecture: str = "gpt2", letter: str | None = None) -> LanguageModel:
    """Return a model that gives no numbers; only after texts with a ``letter``, if one is given."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    own = {"gpt2": GPT2, "t5": T5, "mamba": {"state_size": 4}}.get(architecture, {})
    loader = {"t5": AutoModelForSeq2SeqLM, "bert": AutoModelForMaskedLM}.get(architecture, AutoModelForCausalLM)
    tokenizer = byte_tokenizer()
    if architecture in ("t5", "bert"):
        tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_id_0>"], "mask_token": "<mask>"})
    config = small_config(architecture, **own, tie_word_embeddings=False, vocab_size=len(tokenizer))
    model = loader.from_config(config).eval()
    model.config.architectures = [type(model).__name__]
    with torch.no_grad():
        if letter is None:
            model.get_output_embeddings().weight[5] = math.nan
        else:
            model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids(letter)] = math.nan
    return in_memory(model, tokenizer)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([0.0, 1.0], True),
        ([-math.inf, 1.0], True),  # as for places of the vocabulary that are no token
        ([-math.inf, -math.inf], False),
        ([math.inf, 1.0], False),
        ([math.nan, 1.0], False),
        ([-math.inf, math.nan], False),
    ],
)
def test_a_row_is_a_distribution_if_its_largest_logit_is_finite_and_none_is_nan(
    logits: list[float], expected: bool
) -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        assert are_distributions(torch.tensor([logits, [1.0, 2.0]], dtype=dtype)).tolist() == [expected, True]
    # What is made of log-probabilities need not look at logits: those of a row that is none are all NaN.
    assert torch.tensor(logits).log_softmax(-1).isnan().all() != expected


def test_nan_is_found_in_lists_of_lists_and_infinity_is_a_number() -> None:
    assert has_nan([[0.0, -math.inf], [(1.0, math.nan)]])
    assert not has_nan([[0.0, -math.inf], [(1.0, math.inf)], []])
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        rows = [torch.tensor(row, dtype=dtype) for row in ([], [1.0], [1.0, -math.inf], [math.nan, 1.0])]
        assert list(map(all_finite, rows)) == [True, True, False, False]


@pytest.mark.parametrize("architecture", ["gpt2", "mamba"])  # with a cache, and reading each text again
@pytest.mark.parametrize("decoding", [{"temperature": 0.0}, {"top_p": 0.9, "top_k": 20, "repetition_penalty": 1.2}])
def test_the_prompt_after_which_there_are_no_numbers_is_named_and_what_was_finished_is_kept(
    architecture: str, decoding: dict[str, Any], tmp_path: Path
) -> None:
    model = lame(architecture, "z")
    with pytest.raises(
        InputError, match=r"model m: got logits that are NaN or infinite after 'He has a z'; allowed"
    ) as error:
        complete(model, PROMPTS, tmp_path, **{**PLAIN, **decoding, "batch_size": 1, "samples": 2})
    assert "\n" not in str(error.value)
    (records,) = tmp_path.rglob("*.jsonl")
    stored = records.read_text(encoding="utf-8").splitlines()
    assert len(stored) == 2
    assert all("The longer of two prompts" in line for line in stored)


def test_a_text_that_a_model_breaks_off_by_itself_is_shown_as_far_as_it_got(tmp_path: Path) -> None:
    model = lame("gpt2", "q")
    with torch.no_grad():  # whatever it reads, it writes "q"
        model.model.lm_head.weight.zero_()
        model.model.transformer.ln_f.bias.fill_(1.0)
        model.model.lm_head.weight[model.tokenizer.convert_tokens_to_ids("q")] = 1.0
    with pytest.raises(InputError, match="NaN or infinite after 'He has a zq'"):
        complete(model, PROMPTS.tail(1), tmp_path, **{**PLAIN, "temperature": 0.0})
    assert not list(tmp_path.rglob("*.jsonl"))


def test_half_precision_that_overflows_names_model_and_prompt(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(small_config(tie_word_embeddings=False))
    with torch.no_grad():  # products of the gate and what it lets through reach 10⁵; float16 ends at 65,504
        network.model.layers[0].mlp.gate_proj.weight.mul_(10_000)
        network.model.layers[0].mlp.up_proj.weight.mul_(10_000)
    folder = save_model(tmp_path, network)
    check_checkpoint(folder)
    manifest = describe_folder(folder, "local")
    assert len(complete(open_model(manifest, LOADING), PROMPTS, **PLAIN)) == 5 * len(PROMPTS)
    with pytest.raises(
        InputError, match="^model m: got logits that are NaN or infinite after 'The longer of two"
    ) as error:
        complete(open_model(manifest, {**LOADING, "dtype": "float16"}), PROMPTS, **PLAIN)
    assert "\n" not in str(error.value)


def test_a_model_that_never_gives_numbers_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model m: got logits that are NaN or infinite after"):
        complete(lame(), PROMPTS, tmp_path, **PLAIN)
    assert not list(tmp_path.rglob("*.jsonl"))


def candidates(model: LanguageModel, store: Path) -> None:
    score_prompts(model, PROMPTS, CANDIDATES, "m", Prompting(SETTINGS, chat=False, store=store))


def sentences(model: LanguageModel, store: Path) -> None:
    score_sentences(
        model, [fill(SentenceTemplate(id="t", text="{group} has {subject}."), "a", "b")], "m", batch_size=2, store=store
    )


def bias(model: LanguageModel, store: Path) -> None:
    pair = SentencePair("p", "all", "gender", None, None, "She is kind.", "He is kind.", None)
    score_pairs(model, [pair], "m", "b", batch_size=2, store=store)


def perplexity(model: LanguageModel, store: Path) -> None:
    measure_perplexity(model, encode_neutral_texts(model, ["A text."]), "m", batch_size=2, store=store)


def scored_by(score: Callable[..., Any], items: list[Any]) -> Callable[[LanguageModel, Path], None]:
    how = Prompting({"batch_size": 4}, chat=False)
    return lambda model, store: score(model, items, "m", how._replace(store=store))


def one_item(model: LanguageModel, store: Path) -> None:
    lens_of_item(model, tiny_items(), "m", tiny_asking(store, ["plain"], store=store))


ITEMS, QUESTIONS = [GeneratorItem("Robins are a kind of", " bird")], ["Are robins birds? Answer:"]


@pytest.mark.parametrize(
    "read",
    [
        candidates,
        sentences,
        bias,
        perplexity,
        scored_by(score_generator, ITEMS),
        scored_by(score_validator, QUESTIONS),
        scored_by(score_generator_by_layer, ITEMS),
        scored_by(score_validator_by_layer, QUESTIONS),
        one_item,
    ],
    ids=["candidates", "sentences", "bias", "perplexity", "items", "answers", "item layers", "answer layers", "lens"],
)
def test_no_score_is_made_of_logits_that_are_no_numbers(
    read: Callable[[LanguageModel, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakscope.validate.scoring.item_scores.YES", ("Y",))  # its tokens are bytes
    monkeypatch.setattr("leakscope.validate.scoring.item_scores.NO", ("N",))
    with pytest.raises(InputError, match="model m: got logits that are NaN or infinite after") as error:
        read(lame(), tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("*.jsonl"))


@pytest.mark.parametrize("architecture", ["bert", "t5"])
def test_nor_by_models_of_other_kinds(architecture: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model m: got logits that are NaN or infinite after"):
        sentences(lame(architecture), tmp_path)
    assert not list(tmp_path.rglob("*.jsonl"))


def contrast(model: Any) -> None:
    texts = pd.DataFrame({"text": ["one two"], "item": "x", "weight_b": 1.0})
    record_contrast(model, texts, EncodedTexts([[1, 5, 6]], [WordSet((3,), (4,), 1.0)]), 1, batch_size=1, name="t")


def effects(model: Any) -> None:
    row = {"text": "one two", "item": "x", "group": "x", "split": "selection", "association": 1.0, "weight_b": 1.0}
    prompts = pd.DataFrame([{**row, "ids": [1, 5, 6], "words_a": [3], "words_b": [4]}])
    ItemTexts(model, prompts, 1, batch_size=1).by_item(None, 1.0)


def quality(model: Any) -> None:
    width = model.config.hidden_size
    dictionary = Dictionary(torch.eye(width), torch.zeros(width), torch.eye(width), torch.zeros(width), "relu", 1)
    window = Window(0, [1, 5, 6], range(1, 3))
    measure_cross_entropy(dictionary, torch.zeros(width), model, [window], batch_size=1, name="d")


@pytest.mark.parametrize(
    ("read", "where"),
    [
        (contrast, "after 'one two'"),
        (effects, "after 'one two'"),
        (quality, "in the held-out texts"),
        (effective_unembedding, "after a made-up text"),
    ],
)
def test_no_feature_is_read_of_a_model_that_gives_no_numbers(read: Callable[[Any], None], where: str) -> None:
    with pytest.raises(InputError, match=f"model GPT2LMHeadModel: got logits that are NaN or infinite {where}"):
        read(lame().model)


def test_no_activation_is_kept_that_is_no_number() -> None:
    model = lame("gpt2", "z")
    rows = [model.tokenizer(text)["input_ids"] for text in ("longer than", "a z")]
    read = read_residuals(model.model, rows, 1, batch_size=1)
    assert next(read)[0].isfinite().all()
    with pytest.raises(InputError, match="got residuals of layer 1 that are NaN or infinite in text 2 of 2"):
        next(read)


def test_an_edit_that_leaves_no_numbers_after_one_text_leaves_none_at_all() -> None:
    row = {
        "item": "x",
        "group": "x",
        "split": "selection",
        "association": 1.0,
        "weight_b": 1.0,
        "words_a": [3],
        "words_b": [4],
    }
    prompts = pd.DataFrame([{**row, "text": text, "ids": ids} for text, ids in (("one", [1, 5]), ("two", [1, 6, 7]))])
    torch.manual_seed(0)
    sound = AutoModelForCausalLM.from_config(small_config("gpt2", **GPT2)).eval()
    ends = ItemTexts(sound, prompts, 1, batch_size=1)
    changes = [torch.zeros_like(batch.residuals) for batch in ends.rereader.batches]
    assert ends.by_item(changes, 1.0)["gap"].notna().all()
    changes[0][:] = torch.nan
    assert ends.by_item(changes, 1.0)[["gap", "mass"]].isna().all(axis=None)
