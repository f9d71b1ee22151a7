"""A GGUF file of a small Llama, written as llama.cpp's converter writes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from gguf import GGUFWriter, TokenType
from transformers import LlamaConfig, LlamaForCausalLM

if TYPE_CHECKING:
    import numpy as np

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}[assistant] "
# Bytes that print as themselves, two merges of them, and two that end and begin a text.
LETTERS = [chr(code) for code in range(33, 127)] + ["Ġ"]
MERGES = ["t h", "th e"]
SPECIAL = ["<s>", "</s>"]
TOKENS = [*SPECIAL, *LETTERS, "th", "the"]
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def tiny_llama() -> LlamaForCausalLM:
    """Return a Llama with random weights and two heads to a key."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).eval()


def write_gguf(
    model: LlamaForCausalLM,
    file: Path,
    template: str | None = TEMPLATE,
    state: Mapping[str, torch.Tensor] | None = None,
) -> Path:
    """Write a Llama, or those of its weights in ``state``, and a byte-level tokenizer into a GGUF file, in float32."""
    config = model.config
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([TokenType.CONTROL if token in SPECIAL else TokenType.NORMAL for token in TOKENS])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    if template:
        writer.add_chat_template(template)
    for name, values in _tensors(model, state or model.state_dict()).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _tensors(model: LlamaForCausalLM, state: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    config = model.config
    tensors = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
        "output.weight": state["lm_head.weight"],
    }
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for layer in range(config.num_hidden_layers):
        for ours, theirs in NAMES.items():
            name = f"model.layers.{layer}.{ours}.weight"
            if name not in state:
                continue
            values = state[name]
            if theirs in heads:
                values = _rotated(values, heads[theirs])
            tensors[f"blk.{layer}.{theirs}.weight"] = values
    return {name: values.float().numpy() for name, values in tensors.items()}


def _rotated(values: torch.Tensor, heads: int) -> torch.Tensor:
    """Return rows of queries or keys in llama.cpp's order, which rotates neighbours instead of halves."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, values.shape[1])
    return halves.swapaxes(1, 2).reshape(values.shape).contiguous()
