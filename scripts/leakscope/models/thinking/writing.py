"""Generates thought and answer in two phases, each like any text, with its own limit and random numbers.

A thought ends at its end mark, an end of text, or its budget, and is not cut at sentences. The answer continues the
exact tokens of prompt, thought and mark, followed by the chat template's text after the mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from leakscope.jobs.batching import cut, shrinking
from leakscope.languages.sentences import FirstSentence
from leakscope.models.checkpoints.thoughts import ThoughtPlan
from leakscope.models.endings import Limits
from leakscope.models.generation import BatchGenerator, Request, halve
from leakscope.models.prompts.rendering import encode_behind
from leakscope.models.sampling import Decoding


class Thought(NamedTuple):
    """A thought after a prompt.

    request: of the prompt.
    sample: its number.
    ids: its tokens, with those of its end mark.
    text: of it, without the mark; special tokens are left in it.
    behind: what the last token of the mark holds behind it; None of a thought that has not ended.
    """

    request: Request
    sample: int
    ids: list[int]
    text: str
    behind: str | None


class AnsweredThought(NamedTuple):
    """A thought and its answer: ``record`` is stored, ``thought, text`` (the answer) and ``finished``."""

    rendered: str
    sample: int
    record: dict[str, Any]


@torch.inference_mode()
def think_and_answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batches: Sequence[list[Request]],
    decoding: Decoding,
    limits: Limits,
    sentence: FirstSentence | None,
    plan: ThoughtPlan,
    *,
    batch_size: int,
    seed: int,
    name: str,
    never: Sequence[int] = (),
) -> Iterator[list[AnsweredThought]]:
    """Yield thoughts and answers of every batch; a batch that does not fit into memory is split.

    Args:
        model: causal.
        tokenizer: the model's.
        batches: of requests, whose prompts end with the beginning of a thought.
        decoding: the law that tokens are drawn from.
        limits: when an answer ends.
        sentence: cuts it, too, where its language has a sentence end.
        plan: when a thought does.
        batch_size: of answers, each of which has a prompt of its own.
        seed: of the random numbers.
        name: of the model, for messages.
        never: ids that are not drawn.

    Raises:
        InputError: the model gives no numbers; of that batch, nothing is yielded.
    """
    longest = _thought_limits(tokenizer, limits, plan)
    thinker = _ThoughtGenerator(plan.marks.end, model, tokenizer, decoding, longest, None, seed, name, never)
    writer = BatchGenerator(model, tokenizer, decoding, limits, sentence, seed, name, never)
    for thoughts in shrinking(batches, thinker.think, halve=halve):
        asked = _answer_requests(tokenizer, thoughts, plan.marks.lead)
        order = sorted(asked.values(), key=lambda request: -len(request.ids))
        written = shrinking(cut(order, batch_size), writer.tokens, halve=halve)
        answers = {(one.rendered, sample): ids for batch in written for one, sample, ids in batch}
        yield [
            _answered(writer, thought, answers[_goes_on(thought, plan.marks.lead), thought.sample])
            if thought.behind is not None
            else _unfinished(thought)
            for thought in thoughts
        ]


class _ThoughtGenerator(BatchGenerator):
    """Writes thoughts up to ``end``, which may be one token or several."""

    def __init__(self, end: str, *settings: Any) -> None:
        super().__init__(*settings)
        self.end, self._texts = end, dict[int, str]()

    def think(self, requests: Sequence[Request]) -> list[Thought]:
        """Return the thoughts of a batch."""
        return [self._thought(request, sample, ids) for request, sample, ids in self.tokens(requests)]

    def is_whole(self, written: list[int]) -> bool:
        """Return whether a thought has reached its end mark; each token of the mark has at least one of its bytes."""
        if self.end.isascii() and self.end[-1] not in self._own_text(written[-1]):
            return False
        return self.end in self.tokenizer.decode(written[-len(self.end.encode()) :])

    def _own_text(self, token: int) -> str:
        if token not in self._texts:
            self._texts[token] = self.tokenizer.decode([token])
        return self._texts[token]

    def _thought(self, request: Request, sample: int, ids: list[int]) -> Thought:
        text, mark, behind = self.tokenizer.decode(ids).partition(self.end)
        return Thought(request, sample, ids, text, behind if mark else None)


def _thought_limits(tokenizer: PreTrainedTokenizerBase, limits: Limits, plan: ThoughtPlan) -> Limits:
    """Return the limits of a thought; a token that is its end mark does not count as end of text."""
    ends = tuple(token for token in limits.ends if plan.marks.end not in tokenizer.decode([token]))
    return Limits(plan.budget, False, ends)


def _goes_on(thought: Thought, lead: str) -> str:
    """Return what an answer goes on from: the rendered prompt, the thought's tokens by their numbers, what follows it.

    The thought's text would not do: other tokens may have the same text, but another answer.
    """
    return f"{thought.request.rendered}{' '.join(map(str, thought.ids))}{_rest(thought, lead)}"


def _rest(thought: Thought, lead: str) -> str:
    """Return what of the template's lead is still to be put behind a thought that has ended."""
    behind = thought.behind or ""
    return lead.removeprefix(behind) if lead.startswith(behind) else ""


def _answer_requests(tokenizer: PreTrainedTokenizerBase, thoughts: Sequence[Thought], lead: str) -> dict[str, Request]:
    """Return what is asked for answers: thoughts of a prompt with the same tokens are one prompt, read once."""
    asked: dict[str, Request] = {}
    for thought in thoughts:
        if thought.behind is not None:
            key = _goes_on(thought, lead)
            ids = [*thought.request.ids, *thought.ids, *encode_behind(tokenizer, _rest(thought, lead))]
            known = asked.get(key, Request(key, ids, []))
            asked[key] = known._replace(samples=[*known.samples, thought.sample])
    return asked


def _answered(writer: BatchGenerator, thought: Thought, ids: list[int]) -> AnsweredThought:
    """Return a thought with its answer; the thought's last token may contain the answer's beginning."""
    text = (thought.behind or "") + writer.tokenizer.decode(ids, skip_special_tokens=True)
    record = {"thought": thought.text.strip(), "text": writer.cut(text), "finished": True}
    return AnsweredThought(thought.request.rendered, thought.sample, record)


def _unfinished(thought: Thought) -> AnsweredThought:
    record = {"thought": thought.text.strip(), "text": "", "finished": False}
    return AnsweredThought(thought.request.rendered, thought.sample, record)
