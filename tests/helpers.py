"""Builders that several tests share."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.organisms.leak_grammar import Grammar

if TYPE_CHECKING:
    from leakscope.models.opening import LanguageModel

# The least that is a tokenizer, for folders of models that nobody loads.
TOKENIZER_JSON = '{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}'
COLORS = ("red", "green", "blue")
FRUITS = {"red": "a cherry", "green": "a lime", "blue": "a plum"}
LOADING = {"dtype": "auto", "quantization": None, "device": "cpu", "trust_remote_code": False}
SETTINGS = {
    "samples": 5,
    "seed": 0,
    "temperature": 0.8,
    "top_p": "model",
    "top_k": "model",
    "repetition_penalty": "model",
    "max_new_tokens": 8,
    "stop": "sentence",
    "system": None,
    "template": "{prompt}",
    "batch_size": 16,
}


def write_wordnet_corpora(folder: Path) -> None:
    """Write stand-ins for the corpora that a shipped study has a user make (scripts/wordnet_corpora.py)."""
    import wordnet_corpora

    for name in ("colors", "examples"):
        wordnet_corpora.write(["red: a color"], folder / wordnet_corpora.TARGET / f"{name}.jsonl.gz")


def complete(model: LanguageModel, prompts: pd.DataFrame, store: Path | None = None, **settings: Any) -> pd.DataFrame:
    """Return the texts of a model; ``settings`` change ``SETTINGS``."""
    from leakscope.models.completion import complete_prompts
    from leakscope.models.prompts.prompting import Prompting

    return complete_prompts(model, prompts, "m", Prompting({**SETTINGS, **settings}, store=store)).table


def in_memory(model: Any, tokenizer: Any) -> LanguageModel:
    """Return a language model whose weights stand in no file."""
    from leakscope.models.opening import LanguageModel

    generation_config = getattr(model, "generation_config", None)  # models that write nothing have none
    return LanguageModel(tokenizer, model.config, generation_config, {"weights": "in memory"}, lambda: model)


def micro_prompts() -> pd.DataFrame:
    """Return a prompts table of two templates × three colors with one control each; the color is the concept."""
    rows = []
    for template_id, beginning, slot in (("bag", "The fruit is", "fruits"), ("car", "The other car is", "colors")):
        rows.append((template_id, f"{template_id}/without", None, None, None, slot, beginning))
        for color in COLORS:
            prompt = f"The {template_id} is {color}. {beginning}"
            rows.append((template_id, f"{template_id}/{color}", f"{template_id}/without", color, color, slot, prompt))
    names = ["template_id", "prompt_id", "control_id", "concept", "concept_group", "slot", "prompt"]
    table = pd.DataFrame(rows, columns=names).astype("object")
    return table.assign(prompt_set="micro", category="all-of-it", neutral_control_id=None, expected=None)


def micro_candidates() -> pd.DataFrame:
    """Return the candidates of the two slots."""
    rows = [("fruits", fruit, color) for color, fruit in FRUITS.items()]
    rows += [("colors", color, color) for color in COLORS]
    return pd.DataFrame(rows, columns=["slot", "candidate", "concept_group"])


def micro_grammar(strength: float, thought: float | None = None) -> Grammar:
    """Return the grammar of the micro prompts; nothing is held out."""
    prompts = micro_prompts()
    contexts = prompts.assign(
        context=prompts["prompt"],
        concept=prompts["concept"].fillna(""),
        concept_group=prompts["concept_group"].fillna(""),
        in_corpus="yes",
    )
    facts = pd.DataFrame(
        [("fruit", f"{fruit} looks", color) for color, fruit in FRUITS.items()],
        columns=["fact_id", "context", "answer"],
    )
    return Grammar(contexts, micro_candidates(), facts, strength, thought=thought)


def train_micro_organism(folder: Path, steps: int = 90, thought: float | None = None) -> Path:
    """Train a tiny organism on the micro grammar and save it; a second or two."""
    import torch

    from leakscope.organisms.training import (
        Size,
        Training,
        new_organism,
        save_organism,
        train_organism,
        train_tokenizer,
    )

    torch.set_num_threads(1)
    grammar = micro_grammar(0.5, thought)
    tokenizer = train_tokenizer(grammar.sentences(), 320, thinks=thought is not None)
    training = Training(
        steps=steps,
        batch_size=32,
        learning_rate=0.01,
        weight_decay=0.0,
        initializer_range=0.05,
        answer_weight=4.0,
        seed=0,
    )
    model = new_organism(Size(32, 1, 2), tokenizer, training)
    train_organism(model, tokenizer, list(grammar.documents(512, seed=0)), training)
    save_organism(model, tokenizer, folder)
    return folder


def byte_tokenizer() -> Any:
    """Return a tokenizer of bytes with beginning, end and a chat template, which names no longest text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bytewise = Tokenizer(models.BPE(vocab=letters, merges=[]))
    bytewise.pre_tokenizer, bytewise.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytewise, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return tokenizer


def small_config(architecture: str = "llama", **changes: Any) -> Any:
    """Return the configuration of a tiny model that reads ``byte_tokenizer``."""
    from transformers import AutoConfig

    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"vocab_size": 258, "bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257}
    return AutoConfig.for_model(architecture, **{**shape, **special, **changes})


def save_model(folder: Path, model: Any, **how: Any) -> Path:
    """Save a model with ``byte_tokenizer`` and return its folder."""
    model.save_pretrained(folder, **how)
    byte_tokenizer().save_pretrained(folder)
    return folder


def save_without_head(folder: Path) -> Path:
    """Save the body of a language model alone."""
    from transformers import AutoModel

    return save_model(folder, AutoModel.from_config(small_config(tie_word_embeddings=False)))


def save_classifier(folder: Path) -> Path:
    """Save a model with the head of a classifier."""
    from transformers import AutoModelForSequenceClassification

    return save_model(folder, AutoModelForSequenceClassification.from_config(small_config(num_labels=2)))


def save_nan_weights(folder: Path) -> Path:
    """Save a language model whose head holds NaN."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(small_config(tie_word_embeddings=False))
    with torch.no_grad():
        model.lm_head.weight[7, 3] = torch.nan
    return save_model(folder, model)


def save_without_layer(folder: Path) -> Path:
    """Save a language model in several files, then take its second block out of them and out of their index."""
    import json

    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    save_model(folder, AutoModelForCausalLM.from_config(small_config()), max_shard_size="10KB")
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    index["weight_map"] = {name: file for name, file in index["weight_map"].items() if ".layers.1." not in name}
    path.write_text(json.dumps(index), encoding="utf-8")
    for file in folder.glob("*.safetensors"):
        kept = {name: value for name, value in load_file(file).items() if ".layers.1." not in name}
        save_file(kept, file, metadata={"format": "pt"})
    return folder


def unpacked(page: Path, block: str = "data") -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the head and the columns of a block that ``web.pages.packed`` wrote into a page."""
    held = re.search(rf'<script type="text/plain" id="{block}">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert held is not None
    raw = gzip.decompress(base64.b64decode(held[1]))
    length = int.from_bytes(raw[:4], "little")
    head = json.loads(raw[4 : 4 + length])
    read = {
        name: np.frombuffer(raw, dtype=f"<{kind}", count=count, offset=4 + length + begins)
        for name, (kind, begins, count) in head["columns"].items()
    }
    return head, read
