"""Text generation in batches: each prompt is read once for all its samples, and finished rows leave the batch.

Samples of a prompt with the same text so far share one row: its distribution is computed once, and each sample draws
from it with its own random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from leakscope.jobs.batching import cut, shrinking
from leakscope.jobs.sharding import longest_first
from leakscope.languages.sentences import FirstSentence
from leakscope.models.decoding import Prefill, Reader, without
from leakscope.models.endings import SENTENCE_END, Limits, cut_sentence, finish_text
from leakscope.models.finite import are_distributions, no_numbers, shown
from leakscope.models.sampling import Decoding, draw_tokens, uniforms

NO_TOKEN = -1


class Request(NamedTuple):
    """A rendered prompt, its token ids, and the numbers of the wanted samples."""

    rendered: str
    ids: list[int]
    samples: Sequence[int]


class Completion(NamedTuple):
    """One text of a rendered prompt."""

    rendered: str
    sample: int
    text: str


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batches: Sequence[list[Request]],
    decoding: Decoding,
    limits: Limits,
    sentence: FirstSentence | None = None,
    *,
    seed: int,
    name: str,
    never: Sequence[int] = (),
) -> Iterator[list[Completion]]:
    """Yield the completions of every batch (see ``plan_batches``); a batch that does not fit into memory is split.

    Args:
        model: causal.
        tokenizer: the model's.
        batches: of requests.
        decoding: the sampling law.
        limits: when a text ends.
        sentence: the language's sentence rule, which also ends a text; None: none.
        seed: of the random numbers.
        name: of the model, for messages.
        never: ids that are not drawn.

    Raises:
        InputError: the model gives NaN; nothing of that batch is yielded.
    """
    writer = BatchGenerator(model, tokenizer, decoding, limits, sentence, seed, name, never)
    yield from shrinking(batches, writer.complete, halve=halve)


def plan_batches(
    requests: Sequence[Request], missing: Mapping[str, Sequence[int]], batch_size: int
) -> list[list[Request]]:
    """Return batches of the requests that lack samples.

    All requests are sorted in one fixed order, longest first, and split into batches. A batch without any stored text
    stays as it is, so that a run interrupted between batches resumes with the same batches. Missing samples of the
    other batches are collected, in the same order.

    Args:
        requests: distinct prompts with all their samples.
        missing: rendered prompt → its samples without text; prompts not listed are complete.
        batch_size: prompts per batch.
    """
    by_prompt = {request.rendered: request for request in requests}
    order = longest_first({request.rendered: request.ids for request in requests})
    whole, rest = [], []
    for batch in cut(order, batch_size):
        wanted = [by_prompt[prompt]._replace(samples=list(missing.get(prompt, ()))) for prompt in batch]
        if all(len(request.samples) == len(by_prompt[request.rendered].samples) for request in wanted):
            whole.append(wanted)
        else:
            rest += [request for request in wanted if request.samples]
    return whole + cut(rest, batch_size)


def halve(request: Request) -> list[Request]:
    """Split a prompt's samples into two requests, if it has several."""
    parts = cut(request.samples, (len(request.samples) + 1) // 2)
    return [request._replace(samples=samples) for samples in parts]


class BatchGenerator:
    """Writes one batch at a time with fixed settings, those of ``generate``."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        decoding: Decoding,
        limits: Limits,
        sentence: FirstSentence | None,
        seed: int,
        name: str,
        never: Sequence[int],
    ) -> None:
        self.reader, self.name = Reader(model), name
        self.never = torch.tensor(never, dtype=torch.long)
        self.tokenizer, self.decoding, self.limits, self.seed = tokenizer, decoding, limits, seed
        self.sentence = sentence
        self.ends_sentence: dict[int, bool] = {}

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Return the completions of a batch."""
        return [
            Completion(request.rendered, sample, self.finish(row)) for request, sample, row in self.tokens(requests)
        ]

    def tokens(self, requests: Sequence[Request]) -> list[tuple[Request, int, list[int]]]:
        """Return each sample of a batch with its request and its new tokens, without a token of ``limits.ends``.

        Raises:
            InputError: the model gives NaN.
        """
        wanted = [(place, sample) for place, request in enumerate(requests) for sample in request.samples]
        steps = self.limits.max_new_tokens
        uniform = np.stack([uniforms(requests[place].rendered, self.seed, sample, steps) for place, sample in wanted])
        prefill = self.reader.read([request.ids for request in requests], room=steps)
        tokens = self._write(prefill, np.array([place for place, _ in wanted]), torch.from_numpy(uniform))
        for (place, _), row in zip(wanted, tokens, strict=True):
            if NO_TOKEN in row:
                raise no_numbers(
                    self.name, f"after {shown(requests[place].rendered + self.tokenizer.decode(row[:-1]))}"
                )
        return [(requests[place], sample, row) for (place, sample), row in zip(wanted, tokens, strict=True)]

    def _write(self, prefill: Prefill, row_of: np.ndarray, uniform: torch.Tensor) -> list[list[int]]:
        """Return the new tokens of every sample; a sample with NaN logits ends with ``NO_TOKEN``.

        Args:
            prefill: the prompts.
            row_of: the row of each sample, (samples,).
            uniform: (samples, steps).
        """
        state, logits = prefill
        produced: list[list[int]] = [[] for _ in row_of]
        writing = np.arange(len(row_of))  # the samples that are not at their end
        for step in range(self.limits.max_new_tokens):
            logits = without(logits, self.never)
            tokens = _draw(logits, state.context, self.decoding, row_of, uniform[writing, step])
            going = self._note(produced, writing, tokens)
            if not going.any() or step + 1 == self.limits.max_new_tokens:
                break
            writing = writing[going]
            # Samples of one row that drew the same token share a row again.
            branches, row_of = np.unique(np.stack([row_of[going], tokens[going]]), axis=1, return_inverse=True)
            parents, new = (torch.from_numpy(values).to(logits.device) for values in branches)
            state.select(parents)
            logits = state.extend(new[:, None], torch.ones_like(new), written=True)[:, -1]
        return produced

    def _note(self, produced: list[list[int]], writing: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Append each sample's new token; return the samples that continue."""
        going = np.ones(len(writing), dtype=bool)
        for place, (sample, token) in enumerate(zip(writing.tolist(), tokens.tolist(), strict=True)):
            if token in self.limits.ends:
                going[place] = False
            else:
                produced[sample].append(token)
                going[place] = token != NO_TOKEN and not self.is_whole(produced[sample])
        return going

    def cut(self, text: str) -> str:
        """Return a text up to its end, without white space around it."""
        return self._first(cut_sentence(text) if self.limits.stop_at_sentence else text).strip()

    def finish(self, tokens: list[int]) -> str:
        """Return the text of new tokens up to its end."""
        return self._first(finish_text(self.tokenizer, tokens, self.limits)).strip()

    def _first(self, text: str) -> str:
        return self.sentence.cut(text) if self.sentence else text

    def is_whole(self, written: list[int]) -> bool:
        """Return whether a text is complete with its last token."""
        if self.limits.stop_at_sentence and self._ends_sentence(written[-1]):
            return True
        return self.sentence is not None and self.sentence.is_over(
            self.tokenizer.decode(written, skip_special_tokens=True)
        )

    def _ends_sentence(self, token: int) -> bool:
        # ASCII punctuation is never split over tokens, so a token's own text tells.
        if token not in self.ends_sentence:
            self.ends_sentence[token] = SENTENCE_END.search(self.tokenizer.decode([token])) is not None
        return self.ends_sentence[token]


def _draw(
    logits: torch.Tensor, context: torch.Tensor, decoding: Decoding, row_of: np.ndarray, uniform: torch.Tensor
) -> np.ndarray:
    """Return the next token of every sample, (samples,), drawn from its row's distribution with its own number.

    ``NO_TOKEN`` marks rows without a distribution, which needs no further synchronisation with the accelerator.
    """
    # To (rows, most samples of a row): a sample's place in it is its number among those of its row.
    order = np.argsort(row_of, kind="stable")
    counts = np.bincount(row_of, minlength=len(logits))
    place = np.empty_like(row_of)
    place[order] = np.arange(len(row_of)) - np.repeat(counts.cumsum() - counts, counts)
    table = torch.zeros(len(logits), counts.max(), dtype=torch.float64)
    table[row_of, place] = uniform
    drawn = draw_tokens(logits, context, decoding, table.to(logits.device))
    drawn.masked_fill_(~are_distributions(logits)[:, None], NO_TOKEN)
    tokens: np.ndarray = drawn.cpu().numpy()[row_of, place]
    return tokens
