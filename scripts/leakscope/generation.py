"""Text generation in left-padded batches: each prompt is read once for all its samples, rows leave at their end."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from leakscope.decoding import read_prompts
from leakscope.errors import InputError
from leakscope.sampling import Decoding, draw_tokens, uniforms, warp_logits

logger = logging.getLogger(__name__)

SENTENCE_END = re.compile(r"[.!?]")


class Request(NamedTuple):
    """A rendered prompt and its token ids."""

    rendered: str
    ids: list[int]


class Limits(NamedTuple):
    """When a text ends."""

    max_new_tokens: int
    stop_at_sentence: bool


class Completion(NamedTuple):
    """The samples of one request, in the order of their sample number."""

    request: int
    texts: list[str]


def cut_sentence(text: str) -> str:
    """Return ``text`` up to and with its first full stop, exclamation or question mark (Smilga 2025, generation)."""
    end = SENTENCE_END.search(text)
    return text[: end.end()] if end else text


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    decoding: Decoding,
    limits: Limits,
    *,
    n_samples: int,
    seed: int,
    batch_size: int,
) -> Iterator[Completion]:
    """Yield the completions of every request, a batch at a time, longest prompts first.

    Batches are consecutive in one fixed order (length, then text), so the longest, most memory-hungry comes first and
    who shares a batch does not depend on the order of the requests. On running out of GPU memory a batch is halved
    and tried again.
    """
    order = sorted(range(len(requests)), key=lambda i: (-len(requests[i].ids), requests[i].rendered))
    decoder = _Decoder(model, tokenizer, decoding, limits, n_samples, seed)
    pending = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    while pending:
        batch = pending.pop(0)
        try:
            texts = decoder.complete([requests[i] for i in batch])
        except torch.cuda.OutOfMemoryError:
            if len(batch) == 1:
                raise
            torch.cuda.empty_cache()
            half = (len(batch) + 1) // 2
            logger.warning("out of GPU memory with %d prompts at once; going on with %d", len(batch), half)
            pending = [batch[:half], batch[half:], *pending]
            continue
        yield from map(Completion, batch, texts)


class _Decoder:
    """Decodes one batch at a time with fixed settings."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        decoding: Decoding,
        limits: Limits,
        n_samples: int,
        seed: int,
    ) -> None:
        self.model, self.tokenizer, self.decoding, self.limits = model, tokenizer, decoding, limits
        self.n_samples, self.seed = n_samples, seed
        self.ends = end_tokens(model, tokenizer)
        self.ends_sentence: dict[int, bool] = {}

    def complete(self, requests: Sequence[Request]) -> list[list[str]]:
        """Return texts[request][sample]."""
        uniform = np.stack(
            [
                uniforms(request.rendered, self.seed, sample, self.limits.max_new_tokens)
                for request in requests
                for sample in range(self.n_samples)
            ]
        )
        tokens = self._decode([request.ids for request in requests], uniform)
        texts = [self._text(row) for row in tokens]
        return [texts[start : start + self.n_samples] for start in range(0, len(texts), self.n_samples)]

    def _decode(self, prompts: list[list[int]], uniform: np.ndarray) -> list[list[int]]:
        """Return the new tokens of every row; rows are prompt-major, ``n_samples`` to a prompt."""
        state, logits = read_prompts(self.model, prompts)
        copies = torch.arange(len(prompts), device=self.model.device).repeat_interleave(self.n_samples)
        state.select(copies)
        logits = logits[copies]
        produced: list[list[int]] = [[] for _ in range(len(uniform))]
        rows = np.arange(len(uniform))  # which row of `produced` each row of the state is
        draws = torch.from_numpy(uniform).to(self.model.device)
        for step in range(self.limits.max_new_tokens):
            weights = warp_logits(logits, state.context, self.decoding)
            tokens = draw_tokens(weights, draws[torch.from_numpy(rows).to(draws.device), step])
            going = []
            for position, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
                if token not in self.ends:
                    produced[row].append(token)
                    if not (self.limits.stop_at_sentence and self._ends_sentence(token)):
                        going.append(position)
            if not going or step + 1 == self.limits.max_new_tokens:
                break
            if len(going) < len(rows):
                keep = torch.tensor(going, device=tokens.device)
                state.select(keep)
                rows, tokens = rows[going], tokens[keep]
            logits = state.extend(tokens[:, None], torch.ones_like(tokens))[:, -1]
        return produced

    def _ends_sentence(self, token: int) -> bool:
        # ASCII punctuation is never split over tokens, so a token's own text tells.
        if token not in self.ends_sentence:
            self.ends_sentence[token] = SENTENCE_END.search(self.tokenizer.decode([token])) is not None
        return self.ends_sentence[token]

    def _text(self, tokens: list[int]) -> str:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return (cut_sentence(text) if self.limits.stop_at_sentence else text).strip()


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids that end a text: the generation config's (one or several), then the tokenizer's."""
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = configured if isinstance(configured, list) else [configured]
    return list(dict.fromkeys(int(i) for i in [*ids, tokenizer.eos_token_id] if i is not None))


def first_end_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id that a text most likely ends with.

    Raises:
        InputError: the model has none.
    """
    ends = end_tokens(model, tokenizer)
    if not ends:
        raise InputError(f"model {tokenizer.name_or_path}: has no end of text; set `stop: sentence` for it.")
    return ends[0]
