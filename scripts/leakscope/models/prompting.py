"""How prompts are given to a model: rendered and turned into token ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.models.opening import LanguageModel
from leakscope.models.rendering import encode_rendered, render_prompt
from leakscope.storage.store import Store


class Prompting(NamedTuple):
    """How prompts are given to a model, and what is kept.

    settings: the generation settings of the configuration.
    chat: whether prompts go through the chat template.
    chat_template_kwargs: passed to it.
    store: the folder of all stores; None keeps nothing.
    language: of what follows a prompt; it decides how a candidate is joined to it, and ends.
    """

    settings: Mapping[str, Any]
    chat: bool = True
    chat_template_kwargs: Mapping[str, Any] = {}
    store: Path | None = None
    language: str = "en"

    def open_store(self, fingerprint: Mapping[str, Any]) -> Store | None:
        """Return the store of a fingerprint; None where nothing is kept."""
        return None if self.store is None else Store(self.store, fingerprint)


class Completed(NamedTuple):
    """A table, and a summary of what was computed for it (see ``store.Recalled.summary``)."""

    table: pd.DataFrame
    summary: dict[str, Any]


def ids_digest(*rows: Sequence[int]) -> str:
    """Return the first digits of the SHA-256 of rows of token ids."""
    return hashlib.sha256(json.dumps([list(row) for row in rows]).encode()).hexdigest()[:16]


def read_prompts(model: LanguageModel, prompts: pd.Series, prompting: Prompting) -> tuple[list[str], list[list[int]]]:
    """Return every prompt as the model reads it: rendered, and its token ids.

    Raises:
        InputError: a prompt has no token, or with its new ones does not fit the model's context.
    """
    settings = prompting.settings
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    rendered = [
        render_prompt(
            model.tokenizer,
            prompt,
            template=settings["template"],
            system=settings["system"],
            chat=prompting.chat,
            chat_template_kwargs=prompting.chat_template_kwargs,
        )
        for prompt in prompts
    ]
    ids = [encode_rendered(model.tokenizer, text, chat=prompting.chat) for text in rendered]
    for prompt, row in zip(prompts, ids, strict=True):
        if not row:
            raise InputError(f"prompt {prompt!r}: has no token for model {model.tokenizer.name_or_path}.")
        model.check_readable(prompt, row)
        if longest is not None and len(row) + settings["max_new_tokens"] > longest:
            raise InputError(
                f"prompt {prompt[:60]!r}: {len(row)} tokens and {settings['max_new_tokens']} new ones; "
                f"the model reads at most {longest}."
            )
    return rendered, ids
