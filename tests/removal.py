"""A small model with prompts that it leaks after, for tests of mitigations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from helpers import LOADING, SETTINGS, micro_candidates, micro_prompts
from leakscope.models.neutral import encode_neutral_texts
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.organisms.training import save_organism, train_tokenizer
from leakscope.storage.manifests import describe_folder
from leakscope.trace.removal.items import Items
from leakscope.trace.removal.variants import Setting

NEUTRAL = ["It rained all morning.", "She wrote a short letter.", "The train was late again.", "He slept."]


def write_model(folder: Path) -> Path:
    """Write a Llama of four blocks whose weights are drawn: it says different things after every prompt."""
    torch.set_num_threads(1)
    tokenizer = train_tokenizer([*micro_prompts()["prompt"], *micro_candidates()["candidate"], *NEUTRAL] * 3, 300)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2}
    torch.manual_seed(2)
    ids = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0}
    save_organism(LlamaForCausalLM(LlamaConfig(**shape, **ids, initializer_range=0.3)), tokenizer, folder)
    return folder


def micro_items() -> Items:
    """Return the micro prompts; the evaluation split is the bag of blue."""
    prompts, candidates = micro_prompts(), micro_candidates()
    tests = prompts[prompts["control_id"].notna()].reset_index(drop=True)
    held_out = tests["prompt_id"] == "bag/blue"
    tests["split"] = held_out.map({True: "evaluation", False: "selection"})
    controls = prompts[prompts["control_id"].isna()].reset_index(drop=True)
    return Items(tests, controls, candidates, tests[:0], controls[:0], candidates[:0], tests, controls)


def setting_of(model_folder: Path, folder: Path, entry: dict[str, Any], **changes: Any) -> Setting:
    """Return what a mitigation of the model is made of."""
    manifest = describe_folder(model_folder, "local")
    model = open_model(manifest, LOADING)
    neutral = encode_neutral_texts(model, NEUTRAL)
    prompting = Prompting(SETTINGS, chat=False)
    return Setting("m", model, manifest, micro_items(), prompting, entry, neutral, 3, folder)._replace(**changes)


@torch.inference_mode()
def last_logits(model: Any, row: list[int]) -> torch.Tensor:
    """Return the logits after a row of tokens."""
    logits: torch.Tensor = model(input_ids=torch.tensor([row]), use_cache=False).logits[0, -1]
    return logits
