"""What ``benchmarks/real_model.py`` measures, each function in a process of its own. See there for the ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generation_models import Prompt
from generation_ways import N_TOKENS, TEMPERATURE, Setting, _finished, _load, batched, ours
from measuring import ROOT, peak_mb, spread, timed

PLAIN = "{prompt}"
Question = tuple[list[int], list[list[int]]]


def prepare(folder: str, n: int, chat: bool) -> Mapping[str, Any]:
    """Return prompts of the set ``colors``, and the ids of each and of its slot's candidates.

    As plain completion, or in the chat template with the system message and the wording that are the default.
    """
    from transformers import AutoTokenizer

    from leakscope.configuration.layers import shipped
    from leakscope.leak.prompts import build_prompts, template_files
    from leakscope.models.prompts.rendering import answer_lead, encode_continuations, encode_rendered, render_prompt

    tokenizer = AutoTokenizer.from_pretrained(folder)
    built = build_prompts(template_files(ROOT / "data/prompt_sets/colors", [ROOT / "data/lexicons"]), "colors")
    by_slot = built.candidates.groupby("slot")["candidate"].agg(list)
    lead = answer_lead(tokenizer, chat=chat, chat_template_kwargs={})
    settings = shipped(ROOT)["generation"]
    wording = {"template": settings["template"], "system": settings["system"]} if chat else {"template": PLAIN}
    prompts, questions = [], []
    for row in spread(list(built.prompts[built.prompts["slot"].notna()].itertuples()), n):
        text = render_prompt(tokenizer, row.prompt, **{"system": None, **wording}, chat=chat)
        ids = encode_rendered(tokenizer, text, chat=chat)
        sentences = [f"{candidate}." for candidate in by_slot[row.slot]]
        added = encode_continuations(tokenizer, text, ids, sentences, lead=lead, chat=chat)
        prompts.append((text, ids))
        questions.append((ids, added))
    return {"prompts": prompts, "questions": questions}


def compare_texts(
    setting: Mapping[str, Any],
    prompts: Sequence[tuple[str, list[int]]],
    n_samples: int,
    ways: Sequence[str],
    rounds: int,
) -> Mapping[str, Any]:
    """Let each way write, in turn, ``rounds`` times; return what ``_alternated`` does, and the number of texts."""
    torch.manual_seed(0)
    made = {"batched": batched, "ours": ours}
    opened = {way: made[way](Setting(**setting)) for way in ways}
    read = [Prompt(*prompt) for prompt in prompts]
    written = {way: lambda one=one: len(one.write(read, n_samples)) for way, one in opened.items()}
    for one in opened.values():
        one.write(read[:1], 1)
    return _alternated(written, rounds)


def compare_candidates(
    setting: Mapping[str, Any], questions: Sequence[Question], n_slow: int, rounds: int
) -> Mapping[str, Any]:
    """Let each way score, in turn, ``rounds`` times; the slow ones ``n_slow`` of the questions, spread over all.

    Returns:
        What ``_alternated`` does, and ``difference``: the largest of ours from one forward a candidate, in nats.
    """
    model, _ = _load(Setting(**setting))
    few = spread(list(questions), n_slow)
    ways: dict[str, Callable[[], Any]] = {
        "one a forward": lambda: [_one_by_one(model, question) for question in few],
        "one batch a prompt": lambda: [_one_batch(model, question) for question in few],
        "ours": lambda: _ours(model, questions, TEMPERATURE),
    }
    for way in (_one_by_one, _one_batch):
        way(model, few[0])
    found = _alternated(ways, rounds)
    slow, fast = found.pop("results")["one a forward"], _ours(model, few, TEMPERATURE)
    pairs = zip(np.concatenate(slow), np.concatenate([plain for plain, _ in fast]), strict=True)
    return {**found, "difference": max(abs(one - other) for one, other in pairs)}


def score_and_write(setting: Mapping[str, Any], questions: Sequence[Question], temperature: float) -> Mapping[str, Any]:
    """Return ours: both log-probabilities of all candidates, and a text of every prompt as token ids."""
    from leakscope.models.endings import Limits
    from leakscope.models.generation import Request, generate
    from leakscope.models.sampling import Decoding

    model, tokenizer = _load(Setting(**setting))
    written: list[list[int]] = []
    tokenizer.decode = lambda ids, **_: written.append(list(ids)) or ""
    requests = [Request(str(number), ids, [0]) for number, (ids, _) in enumerate(questions)]
    limits = Limits(N_TOKENS, stop_at_sentence=False, ends=())
    list(generate(model, tokenizer, [requests], Decoding(temperature), limits, seed=0, name="m"))
    return {"scores": _ours(model, questions, TEMPERATURE), "texts": written}


def write_gguf(folder: str, path: str) -> Mapping[str, Any]:
    """Write the weights of a model of Llama's architecture as a GGUF file in float32, without a vocabulary's strings.

    llama.cpp turns neighbouring dimensions of a head, transformers the two halves of it: queries and keys are permuted.
    """
    from gguf import GGUFWriter
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config, writer = model.config, GGUFWriter(path, "llama")
    heads, shared_heads = config.num_attention_heads, config.num_key_value_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(shared_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    for name, tensor in _gguf_tensors(model.state_dict(), heads, shared_heads, tied=config.tie_word_embeddings):
        writer.add_tensor(name, np.ascontiguousarray(tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {"bytes": Path(path).stat().st_size}


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def _gguf_tensors(
    weights: Mapping[str, torch.Tensor], heads: int, shared_heads: int, *, tied: bool
) -> list[tuple[str, torch.Tensor]]:
    named = []
    for name, tensor in weights.items():
        if tied and name.startswith("lm_head"):
            continue
        n_heads = heads if "q_proj" in name else shared_heads if "k_proj" in name else 0
        if n_heads:
            tensor = tensor.unflatten(0, (n_heads, 2, -1)).transpose(1, 2).flatten(0, 2)
        for theirs, own in GGUF_NAMES.items():
            name = name.replace(f"{theirs}.", f"{own}.")
        named.append((name, tensor))
    return named


def _alternated(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Call every way in turn.

    Returns:
        Of each way ``seconds`` and ``cpu`` (those that the process computed for) in each round, ``others`` (see
        ``Timed``), ``peak_mb``, and the last of its ``results``.
    """
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    others, peaks, results = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0), dict[str, Any]()
    for _ in range(rounds):
        for way, work in ways.items():
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            start = time.process_time()
            one = timed(lambda: _finished(work()))  # noqa: B023
            cpu[way].append(time.process_time() - start)
            seconds[way].append(one.seconds)
            others[way], results[way] = max(others[way], one.others), one.result
            peaks[way] = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else peak_mb()
    return {"seconds": seconds, "cpu": cpu, "others": others, "peak_mb": peaks, "results": results}


def _ours(model: Any, questions: Sequence[Question], temperature: float) -> list[tuple[list[float], list[float]]]:
    from leakscope.models.candidates import PromptCandidates, score_candidates
    from leakscope.models.sampling import Decoding

    asked = [PromptCandidates(*question) for question in questions]
    batches = score_candidates(model, asked, Decoding(temperature), batch_size=16)
    return [(score.logprob, score.logprob_sampled) for batch in batches for score in batch]


@torch.inference_mode()
def _one_by_one(model: Any, question: Question) -> list[float]:
    """Return Σ log p of each candidate by a forward of its own, as in published code."""
    prompt, candidates = question
    sums = []
    for candidate in candidates:
        ids = torch.tensor([prompt + candidate], device=model.device)
        logprobs = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
        sums.append(float(logprobs.gather(-1, ids[0, 1:, None])[len(prompt) - 1 :].sum()))
    return sums


@torch.inference_mode()
def _one_batch(model: Any, question: Question) -> list[float]:
    """Return the same by one forward of all candidates of a prompt, padded on the right."""
    prompt, candidates = question
    width = max(map(len, candidates))
    ids = torch.tensor([[*prompt, *row, *[0] * (width - len(row))] for row in candidates], device=model.device)
    logprobs = model(input_ids=ids, use_cache=False).logits[:, :-1].float().log_softmax(-1)
    picked = logprobs.gather(-1, ids[:, 1:, None])[:, len(prompt) - 1 :, 0].tolist()
    return [sum(row[: len(candidate)]) for row, candidate in zip(picked, candidates, strict=True)]
