"""A task of a few items, its forms, and a random model on disk: what tests of the step `validate` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from leakscope.models.opening import LanguageModel
    from leakscope.validate.tasks.asking import Asking

PAIRS = {
    "robins": {"bird": True, "insect": False, "very useful tool": False},
    "oaks": {"woody plant": True, "bird": False},
    "hammers": {"very useful tool": True, "woody plant": False, "insect": False},
    "salmon": {"fish": True, "animal": True, "bird": False},
    "ants": {"insect": True, "fish": False},
    "wasps": {"insect": True, "woody plant": False},
}
GENERATOR, VALIDATOR = "Complete: {x} are a kind of", "Are {x} really a kind of {y}? Answer:"
FORMS = """
description: Is one noun a kind of another?
generators:
  - {id: complete, text: "Complete: {question} are a kind of", negated: "Complete: {question} are not a kind of"}
  - {id: known, text: "As is known, {question} are a sort of", negated: "As is known, {question} are not a sort of"}
validators:
  - {id: case, text: "Are {question} really a kind of {candidate}? Answer:"}
styles:
  - {id: talk, shots: 0, chat: true, template: "Be brief. {prompt}"}
  - {id: plain, shots: 0, chat: false, template: "{prompt}"}
  - {id: shown, shots: 2, chat: false, template: "{prompt}"}
"""
CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def tiny_items() -> pd.DataFrame:
    """Return the items; every question has right and wrong candidates, one has two right ones."""
    from leakscope.validate.tasks.items import item_table

    rows = [
        {"item_id": f"{x}/{y}", "question": x, "candidate": y, "positive": right, "cluster": x, "distance": "none"}
        for x, answers in PAIRS.items()
        for y, right in answers.items()
    ]
    return item_table(rows, "tiny task")


def tiny_asking(
    folder: Path, styles: list[str] | None = None, *, chat: bool = True, batch_size: int = 5, store: Path | None = None
) -> Asking:
    """Return how the tiny task is put to a model; its forms are written into ``folder``."""
    from leakscope.validate.tasks.asking import read_asking

    path = folder / "forms.yaml"
    path.write_text(FORMS, encoding="utf-8")
    how = {"chat": chat, "chat_template_kwargs": {}}
    return read_asking(path, styles, "m", chat=how, seed=0, batch_size=batch_size, store=store)


def save_tiny_model(folder: Path) -> Path:
    """Save a random GPT-2 with a chat template that knows `` Yes``, ``Yes``, `` No`` and ``No`` as tokens."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

    torch.set_num_threads(1)
    texts = [f"{GENERATOR.format(x=x)} {y}" for x, answers in PAIRS.items() for y in answers]
    texts += ["As is known, robins are not a sort of", "Be brief. Are ants a fish?"]
    texts += ["Answer: Yes No", "Yes", "No"] * 9
    tokenizer = GPT2Tokenizer().train_new_from_iterator(texts, 360, show_progress=False)
    tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    shape: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512, "initializer_range": 0.3}
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.eos_token_id}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape, **ends))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def open_tiny_model(folder: Path) -> LanguageModel:
    """Return the model, saved into ``folder`` and opened as a study opens it."""
    from helpers import LOADING
    from leakscope.models.opening import open_model
    from leakscope.storage.manifests import describe_folder

    return open_model(describe_folder(save_tiny_model(folder), "local"), LOADING)


def weightless(model: LanguageModel) -> LanguageModel:
    """Return the same model, but its weights must not be loaded."""
    from leakscope.models.opening import LanguageModel

    def load() -> Any:
        raise AssertionError("the weights were loaded")

    return LanguageModel(model.tokenizer, model.config, model.generation_config, model.identity, load)
