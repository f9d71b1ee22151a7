"""Settings of prompting, and prompts rendered and encoded for a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from transformers import PreTrainedTokenizerBase

from leakscope.errors import InputError
from leakscope.models.checkpoints.thoughts import ThoughtPlan
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.placing import Placed
from leakscope.models.prompts.rendering import begun, encode_behind, encode_rendered, marks_of, render_prompt
from leakscope.storage.store import Store


class Prompting(NamedTuple):
    """Settings of prompting and storage for one model.

    settings: the generation settings of the configuration.
    chat: whether prompts go through the chat template.
    chat_template_kwargs: passed to it.
    thinking: of a model that thinks before it answers, ``begin, end, budget, measure`` of its entry; else None.
    store: the folder of all stores; None keeps nothing.
    language: of what follows a prompt; it decides how a candidate is joined to it, and ends.
    """

    settings: Mapping[str, Any]
    chat: bool = True
    chat_template_kwargs: Mapping[str, Any] = {}
    thinking: Mapping[str, Any] | None = None
    store: Path | None = None
    language: str = "en"

    def open_store(self, fingerprint: Mapping[str, Any]) -> Store | None:
        """Return the store of a fingerprint; None where nothing is kept."""
        return None if self.store is None else Store(self.store, fingerprint)

    def thoughts(self, tokenizer: PreTrainedTokenizerBase) -> ThoughtPlan | None:
        """Return how the model's thoughts are written; None of one that answers at once.

        Raises:
            InputError: neither the entry nor the chat template says what they stand between.
        """
        if self.thinking is None:
            return None
        marks = marks_of(tokenizer, self.thinking, chat=self.chat, chat_template_kwargs=self.chat_template_kwargs)
        return ThoughtPlan(marks, self.thinking["budget"])


class Completed(NamedTuple):
    """A table, and a summary of its computation (see ``store.Recalled.summary``)."""

    table: pd.DataFrame
    summary: dict[str, Any]


def ids_digest(*rows: Sequence[int]) -> str:
    """Return the first digits of the SHA-256 of rows of token ids."""
    return hashlib.sha256(json.dumps([list(row) for row in rows]).encode()).hexdigest()[:16]


def read_prompts(
    model: LanguageModel, prompts: Iterable[str | Placed], prompting: Prompting
) -> tuple[list[str], list[list[int]]]:
    """Return every prompt as the model reads it: rendered, and its token ids; of one that thinks with the beginning of
    its thought.

    Raises:
        InputError: a prompt has no token, or with its new ones does not fit the model's context.
    """
    settings, plan, prompts = prompting.settings, prompting.thoughts(model.tokenizer), list(prompts)
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    rendered = [
        render_prompt(
            model.tokenizer,
            prompt,
            template=settings["template"],
            system=settings["system"],
            chat=prompting.chat,
            chat_template_kwargs=prompting.chat_template_kwargs,
            thinks=plan is not None,
        )
        for prompt in prompts
    ]
    rendered = rendered if plan is None else [begun(text, plan.marks) for text in rendered]
    new = settings["max_new_tokens"] + _room_to_think(model, plan)
    ids = [encode_rendered(model.tokenizer, text, chat=prompting.chat) for text in rendered]
    for prompt, row in zip(map(_whole, prompts), ids, strict=True):
        if not row:
            raise InputError(
                f"prompt {prompt!r}: got no token from the tokenizer of {model.tokenizer.name_or_path}; "
                "allowed: at least one."
            )
        model.check_readable(prompt, row)
        if longest is not None and len(row) + new > longest:
            raise InputError(
                f"prompt {prompt[:60]!r}: {len(row)} tokens and {new} new ones; the model reads at most {longest}."
            )
    return rendered, ids


def _whole(prompt: str | Placed) -> str:
    return prompt if isinstance(prompt, str) else prompt.prompt


def _room_to_think(model: LanguageModel, plan: ThoughtPlan | None) -> int:
    """Return how many tokens a thought may take, with what stands behind it; none of a model that answers at once."""
    return 0 if plan is None else plan.budget + len(encode_behind(model.tokenizer, plan.marks.lead))
