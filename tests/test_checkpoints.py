"""Which checkpoints are believed: those that hold every weight of the model that is made of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
)

from helpers import (
    LOADING,
    SETTINGS,
    complete,
    micro_candidates,
    micro_prompts,
    save_classifier,
    save_model,
    save_nan_weights,
    save_without_head,
    save_without_layer,
    small_config,
)
from leakscope.errors import InputError
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.checking import check_checkpoint, check_encoder
from leakscope.models.kinds import CAUSAL, ENCODER_DECODER, MASKED, kind_of
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.storage.manifests import describe_adapter, describe_edited, describe_folder

KINDS = (CAUSAL, MASKED, ENCODER_DECODER)
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
HEADS = {"head_dim": 8, "num_key_value_heads": 1}
TEXT = {"vocab_size": 258, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
PICTURES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
GOOD: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "llama": (AutoModelForCausalLM, "llama", {}),
    "tied llama": (AutoModelForCausalLM, "llama", {"tie_word_embeddings": True}),
    "tied qwen2": (AutoModelForCausalLM, "qwen2", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
    "gpt2": (AutoModelForCausalLM, "gpt2", GPT2),
    "gpt_neox": (AutoModelForCausalLM, "gpt_neox", {}),
    "gemma": (AutoModelForCausalLM, "gemma", HEADS),
    "mamba": (AutoModelForCausalLM, "mamba", {"state_size": 4}),
    "experts": (AutoModelForCausalLM, "mixtral", {"num_local_experts": 2, "num_key_value_heads": 1}),
    "with pictures": (
        AutoModelForCausalLM,
        "gemma3",
        {
            "text_config": {**TEXT, **HEADS, "num_attention_heads": 2},
            "vision_config": {**PICTURES, "image_size": 28, "patch_size": 14},
            "mm_tokens_per_image": 4,
        },
    ),
    "t5": (AutoModelForSeq2SeqLM, "t5", T5),
    "bert": (AutoModelForMaskedLM, "bert", {}),
    "roberta": (AutoModelForMaskedLM, "roberta", {}),
}


# Those that transformers loads by a class of their own are named first.
WITH_PICTURES: dict[str, dict[str, Any]] = {
    "llava": {
        "text_config": {**TEXT, "num_attention_heads": 2, "num_key_value_heads": 1, "model_type": "llama"},
        "vision_config": {**PICTURES, "image_size": 28, "patch_size": 14, "model_type": "clip_vision_model"},
    },
    "mistral3": {
        "text_config": {**TEXT, **HEADS, "num_attention_heads": 2, "model_type": "mistral"},
        "vision_config": {**PICTURES, "image_size": 28, "patch_size": 14, "model_type": "pixtral"},
    },
    "gemma3": GOOD["with pictures"][2],
}


def refusal(folder: Path) -> list[str]:
    """Return what describing a folder, and loading it, say of its weights; both must refuse it, in one line."""
    said = []
    for refuse in (
        lambda: check_checkpoint(folder),
        lambda: open_model(describe_folder(folder, "local"), LOADING, KINDS).model,
    ):
        with pytest.raises(InputError) as error:
            refuse()
        said.append(str(error.value).removeprefix(f"model {folder}: "))
    assert not any("\n" in line for line in said)
    return said


def change(folder: Path, how: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change the weights in a folder of one file."""
    weights = load_file(folder / "model.safetensors")
    how(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was said of checkpoints in warnings."""
    return [record.getMessage() for record in caplog.records if record.name == "leakscope.models.checking"]


@pytest.mark.parametrize("name", GOOD)
def test_a_whole_model_is_believed_whatever_it_ties_or_computes_anew(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loader, architecture, changes = GOOD[name]
    folder = save_model(tmp_path, loader.from_config(small_config(architecture, **changes)))
    check_checkpoint(folder)
    assert not warnings_of(caplog)
    assert open_model(describe_folder(folder, "local"), LOADING, KINDS).model.training is False


@pytest.mark.parametrize("name", WITH_PICTURES)
def test_of_a_model_that_reads_pictures_the_text_part_writes_and_scores(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = AutoModelForImageTextToText.from_config(AutoConfig.for_model(name, **WITH_PICTURES[name]))
    assert type(network).__name__.endswith("ForConditionalGeneration")
    folder = save_model(tmp_path, network)
    check_checkpoint(folder)
    model = open_model(describe_folder(folder, "local"), LOADING)
    assert kind_of(model.config) == CAUSAL
    assert model.never_written == ()
    rows = micro_prompts()
    assert len(complete(model, rows, stop="length")) == 5 * len(rows)
    scores = score_prompts(model, rows, micro_candidates(), "m", Prompting(SETTINGS, chat=False)).table
    # By hand: the sum of log p over the tokens of one candidate, read whole.
    row = scores.iloc[0]
    prompt = model.tokenizer(rows.loc[rows["prompt_id"] == row["prompt_id"], "prompt"].item())["input_ids"]
    with torch.inference_mode():
        ids = torch.tensor([[*prompt, *row["tokens"]]])
        logprobs = network.eval()(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    expected = logprobs[range(len(row["tokens"])), list(row["tokens"])].sum().item()
    assert row["logprob"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("save", "said"),
    [
        (save_without_head, "its weights lack lm_head.weight; allowed"),
        (
            save_classifier,
            "its weights lack lm_head.weight, and hold score.weight, which the model has no place for; allowed",
        ),
        # A block of Llama has four projections of attention, three of its network, and two norms.
        (save_without_layer, "its weights lack model.layers.1.self_attn.q_proj.weight and 8 more; allowed"),
    ],
)
def test_what_would_be_random_is_refused_where_it_is_described_and_where_it_is_loaded(
    save: Callable[[Path], Path], said: str, tmp_path: Path
) -> None:
    assert all(line.startswith(said) for line in refusal(save(tmp_path)))


def test_a_missing_embedding_is_not_excused_by_the_head_that_is_tied_to_it(tmp_path: Path) -> None:
    folder = save_model(tmp_path, AutoModelForCausalLM.from_config(small_config(tie_word_embeddings=True)))
    change(folder, lambda weights: weights.pop("model.embed_tokens.weight"))
    assert all(line.startswith("its weights lack model.embed_tokens.weight") for line in refusal(folder))


def test_a_weight_of_another_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    folder = save_model(tmp_path, AutoModelForCausalLM.from_config(small_config()))
    change(folder, lambda weights: weights.update({"model.norm.weight": torch.ones(5)}))
    expected = "got weights model.norm.weight of shape [5]; allowed: [16], as its config.json says."
    assert refusal(folder) == [expected, expected]


@pytest.mark.parametrize(
    ("name", "lost"), [("bert", "cls.predictions.transform.dense.weight"), ("t5", "decoder.final_layer_norm.weight")]
)
def test_models_that_write_nothing_need_all_of_their_weights_too(name: str, lost: str, tmp_path: Path) -> None:
    loader, architecture, changes = GOOD[name]
    folder = save_model(tmp_path, loader.from_config(small_config(architecture, **changes)))
    change(folder, lambda weights: weights.pop(lost))
    assert all(line.startswith(f"its weights lack {lost}; allowed") for line in refusal(folder))


def test_weights_that_are_no_numbers_are_found_where_a_model_is_described(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"its weights lm_head\.weight contain NaN") as error:
        check_checkpoint(save_nan_weights(tmp_path))
    assert "\n" not in str(error.value)


def test_all_parts_of_a_large_weight_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Three rows of 16 at once: the NaN, in row 7, is in the third part of 258 rows.
    monkeypatch.setattr("leakscope.models.checking.NUMBERS_AT_ONCE", 48)
    with pytest.raises(InputError, match="contain NaN"):
        check_checkpoint(save_nan_weights(tmp_path))


def test_what_a_model_does_not_take_may_be_anything_and_infinity_may_be_meant(tmp_path: Path) -> None:
    folder = save_model(tmp_path, AutoModelForCausalLM.from_config(small_config("gpt_neox")))
    # Of half precision: −10⁹, as the masks of Pythia have it, is −infinity there.
    unused = {
        "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9).half(),
        "other.weight": torch.ones(2) * torch.nan,
    }
    change(folder, lambda weights: weights.update(unused))
    check_checkpoint(folder)


@pytest.mark.parametrize(
    ("architecture", "settings", "unused"),
    [
        # Of each of two layers, the biases of three projections; or all nine weights of one of two layers.
        ("qwen2", {"model_type": "llama"}, "model.layers.0.self_attn.k_proj.bias and 5 more"),
        ("llama", {"num_hidden_layers": 1}, "model.layers.1.input_layernorm.weight and 8 more"),
    ],
)
def test_weights_that_a_model_has_no_place_for_are_told_of_once(
    architecture: str, settings: dict[str, Any], unused: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save_model(tmp_path, AutoModelForCausalLM.from_config(small_config(architecture)))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **settings}))
    check_checkpoint(folder)
    assert warnings_of(caplog) == [
        f"model {folder}: has no place for its weights {unused}, so this may be another model than its config.json says"
    ]


def test_heads_of_other_tasks_are_not_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = save_model(tmp_path, AutoModelForMaskedLM.from_config(small_config("bert")))
    names = ("cls.seq_relationship.weight", "bert.pooler.dense.weight", "score.weight", "a.rotary_emb.inv_freq")
    change(folder, lambda weights: weights.update({name: torch.ones(2) for name in names}))
    check_checkpoint(folder)
    assert not warnings_of(caplog)


@pytest.mark.parametrize(("dtype", "name"), [(torch.int8, "I8"), (torch.bool, "BOOL"), (torch.complex64, "C64")])
def test_weights_that_are_not_of_floating_point_are_refused(dtype: torch.dtype, name: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path, AutoModelForCausalLM.from_config(small_config()))
    change(folder, lambda weights: weights.update({"model.norm.weight": weights["model.norm.weight"].to(dtype)}))
    with pytest.raises(InputError, match=rf"got weights model\.norm\.weight of format {name}, and no") as error:
        check_checkpoint(folder)
    assert "\n" not in str(error.value)


def test_whole_numbers_beside_the_weights_do_no_harm(tmp_path: Path) -> None:
    folder = save_model(tmp_path, AutoModelForMaskedLM.from_config(small_config("bert")))
    change(folder, lambda weights: weights.update({"bert.embeddings.position_ids": torch.arange(64)[None]}))
    check_checkpoint(folder)


def test_files_beside_those_of_the_index_are_not_looked_at(tmp_path: Path) -> None:
    folder = save_model(tmp_path, AutoModelForCausalLM.from_config(small_config()), max_shard_size="10KB")
    save_file({"lm_head.weight": torch.full((258, 16), torch.nan)}, folder / "consolidated.safetensors")
    check_checkpoint(folder)


@pytest.mark.parametrize(
    "key", [{"quantization_config": {"quant_method": "gptq"}}, {"auto_map": {"AutoModelForCausalLM": "own.Model"}}]
)
def test_what_only_its_own_package_or_code_can_read_is_left_to_the_loading(key: dict[str, Any], tmp_path: Path) -> None:
    folder = save_without_head(tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **key}))
    check_checkpoint(folder)


def test_adapters_and_edits_are_not_laid_upon_a_base_without_its_head(tmp_path: Path) -> None:
    base = describe_folder(save_without_head(tmp_path / "base"), "local")
    (tmp_path / "adapter").mkdir()
    edit = {"kind": "add", "layer": 0, "strength": 1.0, "direction": [1.0] * 16, "targets": [1.0]}
    for manifest in (describe_adapter(tmp_path / "adapter", base), describe_edited(edit, base, None, "code")):
        with pytest.raises(InputError, match=r"its weights lack lm_head\.weight"):
            _ = open_model(manifest, LOADING).model


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of what peft asks transformers for
def test_an_adapter_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    base = save_model(tmp_path / "base", AutoModelForCausalLM.from_config(small_config()))
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    )
    adapted.save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter/adapter_model.safetensors"
    manifest = describe_adapter(path.parent, describe_folder(base, "local"))
    assert open_model(manifest, LOADING).model.training is False
    weights = load_file(path)
    del weights[min(weights)]
    save_file(weights, path, metadata={"format": "pt"})
    manifest = describe_adapter(path.parent, describe_folder(base, "local"))
    with pytest.raises(InputError, match="got an adapter without some of the weights") as error:
        _ = open_model(manifest, LOADING).model
    assert "\n" not in str(error.value)


def test_no_table_of_transformers_stands_beside_the_line_and_it_is_heard_again_afterwards(tmp_path: Path) -> None:
    logger, heard = logging.getLogger("transformers.modeling_utils"), logging.Handler()
    records: list[logging.LogRecord] = []
    heard.emit = records.append  # type: ignore[method-assign]
    before = logger.level
    logger.addHandler(heard)
    try:
        logger.setLevel(logging.WARNING)
        refusal(save_without_head(tmp_path))
        assert not records
        assert logger.level == logging.WARNING
    finally:
        logger.removeHandler(heard)
        logger.setLevel(before)


def test_an_encoder_needs_all_weights_but_those_of_a_pooler_that_nobody_asks(tmp_path: Path) -> None:
    folder = save_model(tmp_path, AutoModel.from_config(small_config("bert")))
    change(folder, lambda weights: [weights.pop(f"pooler.dense.{part}") for part in ("weight", "bias")])
    check_encoder(folder, "e")
    change(folder, lambda weights: weights.pop("encoder.layer.1.output.dense.bias"))
    with pytest.raises(
        InputError, match=r"scorers: model 'e': its weights lack encoder\.layer\.1\.output\.dense\.bias;"
    ):
        check_encoder(folder, "e")


def test_the_parts_of_an_encoder_are_looked_at_where_its_modules_lie(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "0_Transformer", AutoModel.from_config(small_config("bert")))
    (tmp_path / "1_Pooling").mkdir()
    modules = [{"idx": i, "path": path} for i, path in enumerate(("0_Transformer", "1_Pooling"))]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    check_encoder(tmp_path, "e")
    change(folder, lambda weights: weights.pop("encoder.layer.1.output.dense.bias"))
    with pytest.raises(InputError, match=r"model 'e': its weights lack encoder\.layer\.1\.output\.dense\.bias;"):
        check_encoder(tmp_path, "e")


@pytest.mark.parametrize("modules", [{}, [1], [{}], [{"path": "/dev"}], [{"path": "../other"}], [{"path": "\0"}]])
def test_the_parts_of_an_encoder_lie_inside_it(modules: object, tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match=r"modules\.json: got .*; allowed: a list of objects") as error:
        check_encoder(tmp_path, "e")
    assert "\n" not in str(error.value)
