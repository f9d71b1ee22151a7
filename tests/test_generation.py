from __future__ import annotations

import pandas as pd
import pytest
import torch

from helpers import SETTINGS, micro_prompts
from leakscope.completion import complete_prompts
from leakscope.generation import Limits, Request, cut_sentence, end_tokens, generate
from leakscope.models import LoadedModel
from leakscope.rendering import encode_rendered, render_prompt
from leakscope.sampling import Decoding, draw_tokens, uniforms, warp_logits

CHAT = {"chat": True, "chat_template_kwargs": {}}


def many_prompts() -> pd.DataFrame:
    """Return prompts of many lengths, so that batches are padded."""
    prompts = micro_prompts()
    longer = [
        prompts.assign(prompt="Well, " * n + prompts["prompt"], prompt_id=prompts["prompt_id"] + f"#{n}")
        for n in range(6)
    ]
    return pd.concat(longer, ignore_index=True)


def plain_samples(model: LoadedModel, request: Request, decoding: Decoding, n_samples: int, steps: int) -> list[str]:
    """Return texts by the slowest way there is: one sample at a time, no cache, no batch."""
    texts = []
    for sample in range(n_samples):
        ids = list(request.ids)
        numbers = uniforms(request.rendered, 0, sample, steps)
        for number in numbers:
            logits = model.model(input_ids=torch.tensor([ids]), use_cache=False).logits[:, -1]
            token = int(draw_tokens(warp_logits(logits, torch.tensor([ids]), decoding), torch.tensor([number])))
            if token in end_tokens(model.model, model.tokenizer):
                break
            ids.append(token)
        text = model.tokenizer.decode(ids[len(request.ids) :], skip_special_tokens=True)
        texts.append(cut_sentence(text).strip())
    return texts


@pytest.mark.parametrize(
    ("text", "cut"),
    [("red. And", "red."), ("what? no.", "what?"), ("no end", "no end"), ("", ""), ("3.5 km", "3."), ("wow!", "wow!")],
)
def test_text_is_cut_after_its_first_sentence_end(text: str, cut: str) -> None:
    assert cut_sentence(text) == cut


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_batched_text_equals_one_sample_at_a_time_without_cache(micro_model: LoadedModel, penalty: float) -> None:
    requests = []
    for prompt in many_prompts()["prompt"][::5]:
        rendered = render_prompt(micro_model.tokenizer, prompt, template="{prompt}", system=None, chat=True)
        requests.append(Request(rendered, encode_rendered(micro_model.tokenizer, rendered, chat=True)))
    decoding = Decoding(0.9, top_k=50, repetition_penalty=penalty)
    completions = generate(
        micro_model.model, micro_model.tokenizer, requests, decoding, Limits(8, True), n_samples=3, seed=0, batch_size=4
    )
    texts = {completion.request: completion.texts for completion in completions}
    assert [texts[i] for i in range(len(requests))] == [
        plain_samples(micro_model, request, decoding, 3, 8) for request in requests
    ]


def test_batch_size_does_not_change_the_text(micro_model: LoadedModel) -> None:
    tables = [
        complete_prompts(micro_model, many_prompts(), "m", {**SETTINGS, "batch_size": size, "samples": 25}, **CHAT)
        for size in (1, 7, 64)
    ]
    for other in tables[1:]:
        same = (tables[0]["text"] == other["text"]).mean()
        assert same >= 0.999


def test_order_and_company_of_prompts_do_not_change_the_text(micro_model: LoadedModel) -> None:
    prompts = many_prompts()
    whole = complete_prompts(micro_model, prompts, "m", SETTINGS, **CHAT).set_index(["prompt_id", "sample"])["text"]
    part = prompts.sample(frac=0.4, random_state=0)
    again = complete_prompts(micro_model, part, "m", SETTINGS, **CHAT).set_index(["prompt_id", "sample"])["text"]
    assert (again == whole[again.index]).mean() >= 0.999
    assert list(again.index.get_level_values(0)[::5]) == list(part["prompt_id"])


def test_more_samples_begin_with_the_same_ones(micro_model: LoadedModel) -> None:
    three, five = (
        complete_prompts(micro_model, micro_prompts(), "m", {**SETTINGS, "samples": n}, **CHAT) for n in (3, 5)
    )
    assert list(five[five["sample"] < 3]["text"]) == list(three["text"])


def test_samples_of_one_prompt_differ(micro_model: LoadedModel) -> None:
    table = complete_prompts(micro_model, micro_prompts(), "m", {**SETTINGS, "samples": 20}, **CHAT)
    assert table.groupby("prompt_id")["text"].nunique().max() > 1


def test_greedy_samples_are_all_the_same(micro_model: LoadedModel) -> None:
    table = complete_prompts(micro_model, micro_prompts(), "m", {**SETTINGS, "temperature": 0}, **CHAT)
    assert (table.groupby("prompt_id")["text"].nunique() == 1).all()


def test_running_out_of_memory_halves_the_batch_and_goes_on(
    micro_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = complete_prompts(micro_model, many_prompts(), "m", SETTINGS, **CHAT)
    forward = micro_model.model.forward

    def small_memory(*args: object, **kwargs: torch.Tensor) -> object:
        if len(kwargs["input_ids"]) > 5 * 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    small_memory.__signature__ = __import__("inspect").signature(forward)
    monkeypatch.setattr(micro_model.model, "forward", small_memory)
    assert complete_prompts(micro_model, many_prompts(), "m", SETTINGS, **CHAT).equals(expected)


def test_a_prompt_longer_than_the_context_is_one_clear_error(micro_model: LoadedModel) -> None:
    prompts = micro_prompts().head(1).assign(prompt="word " * 500)
    with pytest.raises(ValueError, match=r"the model reads at most 384"):
        complete_prompts(micro_model, prompts, "m", SETTINGS, **CHAT)


ARCHITECTURES: dict[str, dict[str, object]] = {
    "gpt2": {"num_attention_heads": 2},
    "llama": {"num_attention_heads": 2, "intermediate_size": 64},
    "gpt_neox": {"num_attention_heads": 2, "intermediate_size": 64},
    "gemma2": {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 64},
    "mamba": {},
    # Attention and convolutions in turn: its cache cannot be copied row by row.
    "lfm2": {"num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 64},
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_other_architectures_write_the_same_text_as_without_cache(architecture: str, micro_model: LoadedModel) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": len(micro_model.tokenizer)}
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    config = AutoConfig.for_model(architecture, **shape, **ids, **ARCHITECTURES[architecture])
    loaded = LoadedModel(AutoModelForCausalLM.from_config(config).eval(), micro_model.tokenizer)
    requests = []
    for prompt in many_prompts()["prompt"][::9]:
        rendered = render_prompt(loaded.tokenizer, prompt, template="{prompt}", system=None, chat=True)
        requests.append(Request(rendered, encode_rendered(loaded.tokenizer, rendered, chat=True)))
    decoding, limits = Decoding(0.8), Limits(6, True)
    options = {"n_samples": 2, "seed": 0, "batch_size": 4}
    completions = generate(loaded.model, loaded.tokenizer, requests, decoding, limits, **options)
    texts = {completion.request: completion.texts for completion in completions}
    assert [texts[i] for i in range(len(requests))] == [
        plain_samples(loaded, request, decoding, 2, 6) for request in requests
    ]
