"""Mitigations that target the clause with the concept: an instruction, contrastive decoding, and reduced attention."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pandas as pd

from leakscope.models.mitigating.changes import describe_mitigated, mitigated
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting, read_prompts
from leakscope.trace.removal.variants import Setting, Variant

BREAK = "\n\n"  # between a wording and the text after it

Pairs = list[list[list[int]]]


def prompt_variants(setting: Setting) -> list[Variant]:
    """Return the variant with a ``wording``: in the system message of a chat, else before the prompt.

    Neutral texts are also read after the wording, so that its cost is measured.
    """
    wording = setting.entry["wording"]
    change = {"kind": "prompt", "wording": wording}
    before: list[int] = setting.model.tokenizer(wording + BREAK, add_special_tokens=False)["input_ids"]
    asked = _asked(setting.prompting, wording)
    return [_variant(setting, "", 0.0, lambda _: change)._replace(prompting=asked, before=tuple(before))]


def decoding_variants(setting: Setting) -> list[Variant]:
    """Return the variant that decodes every prompt together with its control; its strength is α.

    Raises:
        InputError: as ``prompting.read_prompts``.
    """
    items = setting.items
    pairs = _pairs(setting, items.every, items.every_controls) + _pairs(setting, items.use, items.use_controls)
    return [_variant(setting, "", 1.0, lambda alpha: {"kind": "decoding", "alpha": alpha, "pairs": pairs})]


def attention_variants(setting: Setting) -> list[Variant]:
    """Return a variant per range of layers that reduces attention to concepts there; its strength is α.

    Concepts are found by the tokens of their names; a match inside another word is also masked.
    """
    items = setting.items
    concepts = pd.concat([items.every["concept"], items.use["concept"]]).dropna().unique()
    terms = _terms(setting.model, concepts)
    n_blocks = setting.model.config.get_text_config().num_hidden_layers
    ranges = [_blocks(low, high, n_blocks) for low, high in setting.entry["layers"]]

    def change(layers: list[int], alpha: float) -> dict[str, Any]:
        return {"kind": "attention", "layers": layers, "alpha": alpha, "terms": terms}

    return [_variant(setting, _name(layers, ranges), 1.0, partial(change, layers)) for layers in ranges]


def _variant(setting: Setting, name: str, largest: float, change: Any) -> Variant:
    """Return a variant from a function of strength that gives the change."""

    def manifest(strength: float) -> dict[str, Any]:
        return describe_mitigated(change(strength), setting.manifest)

    def at(strength: float) -> AbstractContextManager[LanguageModel]:
        return mitigated(setting.model, manifest(strength))

    return Variant(name, largest, at, manifest, setting.prompting)


def _asked(prompting: Prompting, wording: str) -> Prompting:
    """Return the prompting with a wording added to the existing one."""
    settings: Mapping[str, Any] = prompting.settings
    if prompting.chat:
        own = settings["system"]
        changed = {"system": f"{own}{BREAK}{wording}" if own else wording}
    else:
        changed = {"template": wording + BREAK + settings["template"]}
    return prompting._replace(settings={**settings, **changed})


def _pairs(setting: Setting, prompts: pd.DataFrame, controls: pd.DataFrame) -> Pairs:
    """Return the distinct pairs of token ids of prompts and their controls."""
    by_id = controls.drop_duplicates("prompt_id").set_index("prompt_id")["prompt"]
    masked = prompts["control_id"].map(by_id)
    read = [read_prompts(setting.model, column, setting.prompting)[1] for column in (prompts["prompt"], masked)]
    pairs = {(tuple(test), tuple(control)): None for test, control in zip(*read, strict=True)}
    return [[list(test), list(control)] for test, control in pairs]


def _terms(model: LanguageModel, concepts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of concepts in the forms that may occur in a text, longest first."""
    rows: dict[tuple[int, ...], None] = {}
    for concept in concepts:
        for text in _written(concept):
            rows[tuple(model.tokenizer(text, add_special_tokens=False)["input_ids"])] = None
    return [list(row) for row in sorted(rows, key=lambda row: (-len(row), row)) if row]


def _written(concept: str) -> Iterator[str]:
    for first in (concept[:1].lower(), concept[:1].upper()):
        for lead in ("", " "):
            yield lead + first + concept[1:]


def _blocks(low: float, high: float, n_blocks: int) -> list[int]:
    """Return the blocks of a range of shares of depth, at least one."""
    first = min(math.floor(low * n_blocks), n_blocks - 1)
    return list(range(first, max(math.ceil(high * n_blocks), first + 1)))


def _name(layers: Sequence[int], ranges: Sequence[Sequence[int]]) -> str:
    return f"layers {layers[0]} to {layers[-1]}" if len(ranges) > 1 else ""
