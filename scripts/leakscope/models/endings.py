"""Where a text ends: at a token that the model ends with, after so many tokens, or at the end of its first sentence."""

from __future__ import annotations

import re
from typing import NamedTuple

from transformers import GenerationConfig, PreTrainedTokenizerBase

SENTENCE_END = re.compile(r"[.!?]")


class Limits(NamedTuple):
    """When a text ends: after so many tokens, at its first sentence's end, or with one of the tokens ``ends``."""

    max_new_tokens: int
    stop_at_sentence: bool
    ends: tuple[int, ...]


def cut_sentence(text: str) -> str:
    """Return ``text`` up to and with its first full stop, exclamation or question mark (Smilga 2025, generation)."""
    end = SENTENCE_END.search(text)
    return text[: end.end()] if end else text


def finish_text(tokenizer: PreTrainedTokenizerBase, tokens: list[int], limits: Limits) -> str:
    """Return the text of new tokens, without special tokens and surrounding white space, cut as ``limits`` say."""
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    return (cut_sentence(text) if limits.stop_at_sentence else text).strip()


def end_tokens(generation_config: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the ids that end a text: the generation config's (one or several), then the tokenizer's."""
    configured = generation_config.eos_token_id if generation_config is not None else None
    ids = configured if isinstance(configured, list) else [configured]
    return tuple(dict.fromkeys(int(i) for i in [*ids, tokenizer.eos_token_id] if i is not None))
