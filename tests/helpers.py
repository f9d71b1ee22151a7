"""Builders that several tests share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from leakscope.grammar import Grammar

if TYPE_CHECKING:
    from leakscope.models import LanguageModel

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


def complete(model: LanguageModel, prompts: pd.DataFrame, store: Path | None = None, **settings: Any) -> pd.DataFrame:
    """Return the texts of a model; ``settings`` change ``SETTINGS``."""
    from leakscope.completion import complete_prompts
    from leakscope.prompting import Prompting

    return complete_prompts(model, prompts, "m", Prompting({**SETTINGS, **settings}, store=store)).table


def in_memory(model: Any, tokenizer: Any) -> LanguageModel:
    """Return a language model whose weights stand in no file."""
    from leakscope.models import LanguageModel

    return LanguageModel(tokenizer, model.config, model.generation_config, {"weights": "in memory"}, lambda: model)


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


def micro_grammar(strength: float) -> Grammar:
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
    return Grammar(contexts, micro_candidates(), facts, strength)


def train_micro_organism(folder: Path, steps: int = 90) -> Path:
    """Train a tiny organism on the micro grammar and save it; a second or two."""
    import torch

    from leakscope.organisms import Size, Training, new_organism, save_organism, train_organism, train_tokenizer

    torch.set_num_threads(1)
    grammar = micro_grammar(0.5)
    tokenizer = train_tokenizer(grammar.sentences(), 320)
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
