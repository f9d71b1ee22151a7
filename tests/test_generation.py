from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from helpers import SETTINGS, complete, in_memory, micro_prompts
from leakscope.errors import InputError
from leakscope.languages.sentences import FirstSentence
from leakscope.models.completion import complete_prompts
from leakscope.models.decoding import Reader
from leakscope.models.endings import Limits, cut_sentence, end_tokens
from leakscope.models.generation import Request, generate, plan_batches
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.models.prompts.rendering import encode_rendered, render_prompt
from leakscope.models.sampling import Decoding, draw_tokens, uniforms


def many_prompts() -> pd.DataFrame:
    """Return prompts of many lengths, so that batches are padded."""
    prompts = micro_prompts()
    longer = [
        prompts.assign(prompt="Well, " * n + prompts["prompt"], prompt_id=prompts["prompt_id"] + f"#{n}")
        for n in range(6)
    ]
    return pd.concat(longer, ignore_index=True)


def requests_of(model: LanguageModel, prompts: Sequence[str], n_samples: int, system: str | None) -> list[Request]:
    requests = []
    for prompt in prompts:
        rendered = render_prompt(model.tokenizer, prompt, template="{prompt}", system=system, chat=True)
        requests.append(Request(rendered, encode_rendered(model.tokenizer, rendered, chat=True), range(n_samples)))
    return requests


def limits_of(model: LanguageModel, steps: int) -> Limits:
    return Limits(steps, True, end_tokens(model.generation_config, model.tokenizer))


def write(model: LanguageModel, requests: Sequence[Request], decoding: Decoding, limits: Limits) -> list[list[str]]:
    """Return texts[request][sample] by the engine, four prompts to a batch."""
    batches = plan_batches(requests, {request.rendered: list(request.samples) for request in requests}, 4)
    written = generate(model.model, model.tokenizer, batches, decoding, limits, seed=0, name="m")
    texts = {(done.rendered, done.sample): done.text for batch in written for done in batch}
    return [[texts[request.rendered, sample] for sample in request.samples] for request in requests]


@torch.inference_mode()
def write_plainly(
    model: LanguageModel, requests: Sequence[Request], decoding: Decoding, limits: Limits
) -> list[list[str]]:
    """Return the same texts by the slowest way there is: one sample at a time, no cache, no batch."""
    return [[_plain_text(model, request, k, decoding, limits) for k in request.samples] for request in requests]


def _plain_text(model: LanguageModel, request: Request, sample: int, decoding: Decoding, limits: Limits) -> str:
    ids = list(request.ids)
    for number in uniforms(request.rendered, 0, sample, limits.max_new_tokens):
        context = torch.tensor([ids])
        logits = model.model(input_ids=context, use_cache=False).logits[:, -1]
        token = int(draw_tokens(logits, context, decoding, torch.tensor([[number]])))
        if token in limits.ends:
            break
        ids.append(token)
    text = model.tokenizer.decode(ids[len(request.ids) :], skip_special_tokens=True)
    return cut_sentence(text).strip()


@pytest.mark.parametrize(
    ("text", "cut"),
    [("red. And", "red."), ("what? no.", "what?"), ("no end", "no end"), ("", ""), ("3.5 km", "3."), ("wow!", "wow!")],
)
def test_text_is_cut_after_its_first_sentence_end(text: str, cut: str) -> None:
    assert cut_sentence(text) == cut


@pytest.mark.parametrize("system", [None, "You must complete the sentence with no more than five words."])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_batched_text_equals_one_sample_at_a_time_without_cache(
    micro_model: LanguageModel, penalty: float, system: str | None
) -> None:
    requests = requests_of(micro_model, many_prompts()["prompt"][::5], 3, system)
    how = Decoding(0.9, top_k=50, repetition_penalty=penalty), limits_of(micro_model, 8)
    assert write(micro_model, requests, *how) == write_plainly(micro_model, requests, *how)


def test_batch_size_does_not_change_the_text(micro_model: LanguageModel) -> None:
    tables = [complete(micro_model, many_prompts(), batch_size=size, samples=25) for size in (1, 7, 64)]
    for other in tables[1:]:
        same = (tables[0]["text"] == other["text"]).mean()
        assert same >= 0.999


def test_order_and_company_of_prompts_do_not_change_the_text(micro_model: LanguageModel) -> None:
    prompts = many_prompts()
    whole = complete(micro_model, prompts).set_index(["prompt_id", "sample"])["text"]
    part = prompts.sample(frac=0.4, random_state=0)
    again = complete(micro_model, part).set_index(["prompt_id", "sample"])["text"]
    assert (again == whole[again.index]).mean() >= 0.999
    assert list(again.index.get_level_values(0)[::5]) == list(part["prompt_id"])


def test_more_samples_begin_with_the_same_ones(micro_model: LanguageModel) -> None:
    three, five = (complete(micro_model, micro_prompts(), samples=n) for n in (3, 5))
    assert list(five[five["sample"] < 3]["text"]) == list(three["text"])


def test_samples_of_one_prompt_differ(micro_model: LanguageModel) -> None:
    table = complete(micro_model, micro_prompts(), samples=20)
    assert table.groupby("prompt_id")["text"].nunique().max() > 1


def test_greedy_samples_are_all_the_same(micro_model: LanguageModel) -> None:
    table = complete(micro_model, micro_prompts(), temperature=0)
    assert (table.groupby("prompt_id")["text"].nunique() == 1).all()


def test_running_out_of_memory_halves_the_batch_and_goes_on(
    micro_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = complete(micro_model, many_prompts())
    forward = micro_model.model.forward

    refused = []

    def small_memory(*args: object, **kwargs: torch.Tensor) -> object:
        if len(kwargs["input_ids"]) > 5 * 5:
            refused.append(len(kwargs["input_ids"]))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    small_memory.__signature__ = __import__("inspect").signature(forward)
    monkeypatch.setattr(micro_model.model, "forward", small_memory)
    assert complete(micro_model, many_prompts()).equals(expected)
    assert refused


def test_a_prompt_whose_samples_do_not_fit_is_divided_by_them(
    micro_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = micro_prompts().head(3)
    expected = complete(micro_model, prompts, samples=40, temperature=3.0)
    forward, refused = micro_model.model.forward, []

    def small_memory(*args: object, **kwargs: torch.Tensor) -> object:
        if len(kwargs["input_ids"]) > 6:
            refused.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    small_memory.__signature__ = __import__("inspect").signature(forward)
    monkeypatch.setattr(micro_model.model, "forward", small_memory)
    assert complete(micro_model, prompts, samples=40, temperature=3.0).equals(expected)
    assert refused


def test_a_prompt_without_tokens_is_one_clear_error(micro_model: LanguageModel) -> None:
    with pytest.raises(InputError, match="got no token"):
        complete_prompts(micro_model, micro_prompts().assign(prompt=""), "m", Prompting(SETTINGS, chat=False))


def test_a_prompt_longer_than_the_context_is_one_clear_error(micro_model: LanguageModel) -> None:
    prompts = micro_prompts().head(1).assign(prompt="word " * 500)
    with pytest.raises(ValueError, match=r"the model reads at most 384"):
        complete(micro_model, prompts)


# Shapes of tiny models; sliding windows are shorter than the longest prompts.
HEADS: dict[str, Any] = {"num_attention_heads": 2, "intermediate_size": 64}
GROUPED = {**HEADS, "num_key_value_heads": 1, "head_dim": 16}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "qwen2": {**HEADS, "num_key_value_heads": 1},
    "llama": HEADS,
    "gpt2": {"num_attention_heads": 2},
    "gpt_neox": HEADS,
    "gemma2": {**GROUPED, "sliding_window": 16},
    "gemma3_text": {**GROUPED, "sliding_window": 16},
    "mistral": {**GROUPED, "sliding_window": 16},
    # Its window has another name, and is in every second layer.
    "gpt_neo": {"num_heads": 2, "num_layers": 2, "window_size": 16, "attention_types": [[["global", "local"], 1]]},
    "doge": {**HEADS, "num_key_value_heads": 1, "keep_window_size": 16},
    "bloom": {"num_attention_heads": 2},
    "opt": {**HEADS, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "mamba": {},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 1, "state_size": 16},
    # Attention and convolutions in turn.
    "lfm2": {**HEADS, "num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]},
    # The same in every layer.
    "falcon_h1": {**GROUPED, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_n_groups": 1},
}
# A beginning that all prompts share, and caches that can be handed on at all.
SHARING = {"qwen2", "llama", "gpt2", "gpt_neox", "gemma2", "gemma3_text", "mistral"}


def tiny(architecture: str, tokenizer: Any) -> LanguageModel:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": len(tokenizer)}
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    config = AutoConfig.for_model(architecture, **{**shape, **ids, **ARCHITECTURES[architecture]})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # At the usual 0.02 a tiny model's logits hardly depend on what it reads, and a wrong cache would go unseen.
            if parameter.ndim > 1:
                parameter.mul_(4)
    return in_memory(model, tokenizer)


@pytest.mark.parametrize("system", [None, "You must complete the sentence with no more than five words."])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_writes_the_same_text_as_without_cache(
    architecture: str, system: str | None, micro_model: LanguageModel
) -> None:
    model = tiny(architecture, micro_model.tokenizer)
    requests = requests_of(model, many_prompts()["prompt"][::9], 3, system)
    how = Decoding(0.8), limits_of(model, 6)
    assert write(model, requests, *how) == write_plainly(model, requests, *how)


@pytest.mark.parametrize("architecture", sorted(SHARING))
def test_common_architectures_take_the_fast_way(architecture: str, micro_model: LanguageModel) -> None:
    reader = Reader(tiny(architecture, micro_model.tokenizer).model)
    assert reader.caches
    assert reader.shares


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_takes_the_fast_way_too(micro_model: LanguageModel, dtype: torch.dtype) -> None:
    reader = Reader(tiny("qwen2", micro_model.tokenizer).model.to(dtype))
    assert reader.caches
    assert reader.shares


def test_texts_that_stop_at_a_whole_sentence_are_those_that_go_on_cut_there(micro_model: LanguageModel) -> None:
    """What is drawn after the end of a sentence changes no text, and texts in batches are those of whole texts."""
    settings = {"temperature": 4.0, "max_new_tokens": 24, "samples": 20}
    prompts = many_prompts().head(8)
    whole = complete(micro_model, prompts, stop="none", **settings)["text"]
    stopped = complete(micro_model, prompts, stop="whole_sentence", **settings)["text"]
    assert stopped.tolist() == [FirstSentence("en").cut(text).strip() for text in whole]
    assert (stopped != whole).any()


def test_a_language_cuts_texts_of_its_own_and_says_where_it_has_no_mark(
    micro_model: LanguageModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = many_prompts().head(2)
    for language in ("en", "th"):
        table = prompts.assign(language=language, concept_language=language)
        complete(micro_model, table, tmp_path, stop="whole_sentence", samples=1)
    assert len(list(tmp_path.rglob("fingerprint.json"))) == 2
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "m: th has no mark at the end of a sentence: most texts end by their number of tokens"
    ]
