"""The models and prompts of ``benchmarks/generation.py``: made here, for leakscope comes without weights.

Nothing in a saved folder ends a text, so that every way to write must write all tokens of every sample.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring import ROOT, spread

ORGANISM = "organism-m-l40"
ORGANISM_STEPS = 200
QWEN_VOCAB_SIZE = 6000  # of the tokenizer: enough for every word of the prompts
QWEN_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_SHAPES: dict[str, dict[str, Any]] = {
    "qwen-0.5b": {
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "qwen-7b": {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
}
SPEAKERS = ("Anna", "Boris", "Clara", "David", "Elena", "Felix", "Greta", "Henry", "Irene", "Jonas")
GROWTH = 10


class Prompt(NamedTuple):
    """What a model reads, as text and as token ids."""

    rendered: str
    ids: list[int]


class Made(NamedTuple):
    """A model, its tokenizer, how a prompt is rendered for it, and where it comes from."""

    model: Any
    tokenizer: Any
    render: Callable[[str], str]
    origin: str


def make_model(shape: str, folder: str, device: str, dtype: str, growing: bool) -> Mapping[str, Any]:
    """Save a model, its tokenizer and its prompts.

    Args:
        shape: ``organism`` or one of ``QWEN_SHAPES``.
        folder: where to.
        device: on which it will run.
        dtype: of its weights.
        growing: make a hundred times as many prompts as the first 76, see ``growing_prompts``.

    Returns:
        ``origin``: what it is, ``lengths``: of the prompts in tokens; or nothing but ``missing``: why there is none.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return {"missing": "no GPU here: not run"}
    made = _organism() if shape == "organism" else _qwen(shape, device, dtype)
    texts = growing_prompts(color_prompts()) if growing else color_prompts()
    prompts = _rendered(made, texts)
    _save(made, Path(folder))
    Path(folder, "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    return {"origin": made.origin, "lengths": [len(prompt.ids) for prompt in prompts]}


def read_prompts(folder: str, chosen: Sequence[int]) -> list[Prompt]:
    """Return the prompts with these numbers of a saved model."""
    rows = json.loads(Path(folder, "prompts.json").read_text(encoding="utf-8"))
    return [Prompt(*rows[number]) for number in chosen]


def color_prompts() -> list[str]:
    """Return all prompts of the set ``colors``."""
    from leakscope.leak.prompts import build_prompts, template_files

    built = build_prompts(template_files(ROOT / "data/prompt_sets/colors", [ROOT / "data/lexicons"]), "colors")
    prompts: list[str] = built.prompts["prompt"].tolist()
    return prompts


def growing_prompts(prompts: Sequence[str]) -> list[str]:
    """Return distinct prompts of which any first 76, 760 and 7,600 are alike: each told by one of ten speakers."""
    largest = spread(prompts, 76 * GROWTH)
    smallest = spread(largest, 76)
    ordered = [*smallest, *(prompt for prompt in largest if prompt not in set(smallest))]
    return [f"{speaker} said this. {prompt}" for speaker in SPEAKERS for prompt in ordered]


def _rendered(made: Made, texts: Sequence[str]) -> list[Prompt]:
    from leakscope.models.prompts.rendering import encode_rendered

    rendered = [made.render(text) for text in texts]
    return [Prompt(text, encode_rendered(made.tokenizer, text, chat=True)) for text in rendered]


def _save(made: Made, folder: Path) -> None:
    for config in (made.model.config, made.model.generation_config):
        config.eos_token_id = None
        config.pad_token_id = made.tokenizer.pad_token_id
    made.tokenizer.eos_token = None
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)


def _configuration() -> dict[str, Any]:
    from leakscope.configuration.layers import shipped

    return shipped(ROOT)


def _organism() -> Made:
    from leakscope.models.prompts.rendering import render_prompt

    settings = _configuration()["organisms"]["generation"]
    model, tokenizer, origin = _trained_organism(ROOT / "results/models" / ORGANISM) or _new_organism()

    def render(prompt: str) -> str:
        return render_prompt(tokenizer, prompt, template=settings["template"], system=settings["system"], chat=True)

    return Made(model, tokenizer, render, origin)


def _trained_organism(folder: Path) -> tuple[Any, Any, str] | None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (folder / "model.safetensors").exists():
        return None
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    return model, tokenizer, f"{ORGANISM} as the default study trained it"


def _new_organism() -> tuple[Any, Any, str]:
    from leakscope.organisms.leak_grammar import load_grammar
    from leakscope.organisms.training import Size, Training, new_organism, train_organism, train_tokenizer

    organisms, entry = _configuration()["organisms"], _configuration()["models"][ORGANISM]
    law = entry["grammar"]
    grammar = load_grammar([ROOT / "data/grammar" / part for part in law["parts"]], law["strength"])
    settings = {**organisms["training"], "steps": ORGANISM_STEPS, "seed": entry["seed"]}
    n_documents = min(settings.pop("documents"), ORGANISM_STEPS * settings["batch_size"])
    training = Training(**settings)
    tokenizer = train_tokenizer(grammar.sentences(), organisms["vocab_size"])
    model = new_organism(Size(**organisms["sizes"][entry["size"]]), tokenizer, training)
    train_organism(model, tokenizer, list(grammar.documents(n_documents, seed=entry["seed"])), training)
    return model, tokenizer, f"{ORGANISM}, trained for {ORGANISM_STEPS} steps"


def _qwen(shape: str, device: str, dtype: str) -> Made:
    """Make a model with random weights, which writes any token after any other: all samples of a prompt differ."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from leakscope.models.prompts.rendering import render_prompt

    settings = _configuration()["generation"]
    tokenizer = _qwen_tokenizer(settings)

    def render(prompt: str) -> str:
        return render_prompt(tokenizer, prompt, template=settings["template"], system=settings["system"], chat=True)

    torch.manual_seed(0)
    with torch.device(device):
        config = Qwen2Config(**QWEN_SHAPES[shape], max_position_embeddings=32768, dtype=dtype)
        model = Qwen2ForCausalLM._from_config(config, dtype=getattr(torch, dtype))
    return Made(model, tokenizer, render, f"shape of Qwen2.5-{shape.removeprefix('qwen-').upper()}, random weights")


def _qwen_tokenizer(settings: Mapping[str, Any]) -> Any:
    """Train a tokenizer in which the words of the prompts are one token each, as they are in Qwen's own."""
    from transformers import Qwen2Tokenizer

    blank = Qwen2Tokenizer(
        unk_token=None,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        extra_special_tokens=["<|im_start|>"],
        padding_side="left",
    )
    turns = [f"system\n{settings['system']}\n", "user\nassistant\n"] * 50
    users = [settings["template"].replace("{prompt}", prompt) for prompt in color_prompts()]
    tokenizer = blank.train_new_from_iterator([*turns, *users], QWEN_VOCAB_SIZE, show_progress=False)
    tokenizer.chat_template = QWEN_CHAT_TEMPLATE
    return tokenizer
