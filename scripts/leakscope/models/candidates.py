"""Exact log-probabilities of a fixed set of continuations (a slot's candidates) after each prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from leakscope.jobs.batching import shrinking
from leakscope.models.decoding import Reader, pad_with_own, without
from leakscope.models.finite import are_distributions
from leakscope.models.sampling import BYTES_AT_ONCE, Decoding, warp_logits
from leakscope.models.token_tree import TokenTree, most_places, read_tree, reads_trees

# Most logits kept at once; a single question may exceed this limit.
MOST_BYTES = 2**28


class PromptCandidates(NamedTuple):
    """Token ids of a rendered prompt, and the ids that each candidate adds, end included."""

    prompt: list[int]
    candidates: list[list[int]]


class CandidateScores(NamedTuple):
    """Log-probabilities in nats, (candidates,): under the model at temperature 1, and under the sampling law."""

    logprob: list[float]
    logprob_sampled: list[float]


class _Edge(NamedTuple):
    """A token that follows a prefix in some candidate."""

    after: int
    token: int


_Values = dict[_Edge, tuple[float, float]]


@torch.inference_mode()
def score_candidates(
    model: PreTrainedModel,
    questions: Sequence[PromptCandidates],
    decoding: Decoding,
    *,
    batch_size: int,
    never: Sequence[int] = (),
) -> Iterator[list[CandidateScores]]:
    """Yield Σ_t log p(token t | prompt, tokens before t) of candidates, one batch of questions at a time, in order.

    For the second value, each conditional is tempered and truncated as in sampling (``warp_logits``): it is the log
    probability that a sample *is* this candidate. Each distinct prefix in a batch is read once: in one forward pass if
    the model reads token trees (``token_tree``), else token by token. Last tokens are not read, as no logits after them
    are needed. Log-softmax is in float32. A batch that does not fit into memory is split.

    Args:
        model: causal.
        questions: prompts and their candidates, each with at least one token.
        decoding: the sampling law.
        batch_size: most questions per batch; batches of large questions have fewer.
        never: ids with probability 0, as in generation.
    """
    scorer = _Scorer(model, decoding, never)
    yield from shrinking(_batches(model, questions, batch_size), scorer.score)


def _batches(
    model: PreTrainedModel, questions: Sequence[PromptCandidates], batch_size: int
) -> Iterator[list[PromptCandidates]]:
    """Split questions into batches with a limited number of tree nodes and logits."""
    most, most_logits = most_places(model), MOST_BYTES // (4 * model.config.get_text_config().vocab_size)
    batch: list[PromptCandidates] = []
    plan = _Plan()
    for question in questions:
        plan.add(question)
        if batch and (len(batch) == batch_size or len(plan.tree) > most or len(plan.after) > most_logits):
            yield batch
            batch, plan = [], _Plan()
            plan.add(question)
        batch.append(question)
    if batch:
        yield batch


class _Plan:
    """Questions as one tree of tokens.

    ``paths`` has the edges of each candidate of each question, ``after`` the prefixes that have edges.
    """

    def __init__(self, questions: Sequence[PromptCandidates] = ()) -> None:
        self.tree = TokenTree()
        self.paths: list[list[list[_Edge]]] = []
        self.after: set[int] = set()
        for question in questions:
            self.add(question)

    def add(self, question: PromptCandidates) -> None:
        end = self.tree.walk(question.prompt)[-1]
        paths = []
        for candidate in question.candidates:
            after = [end, *self.tree.walk(candidate[:-1], end, written=True)]
            self.after.update(after)
            paths.append([_Edge(*edge) for edge in zip(after, candidate, strict=True)])
        self.paths.append(paths)


class _Scorer:
    """Scores batches of questions under one model and one sampling law."""

    def __init__(self, model: PreTrainedModel, decoding: Decoding, never: Sequence[int]) -> None:
        self.model, self.decoding = model, decoding
        self.never = torch.tensor(never, dtype=torch.long)
        self.reads_trees = reads_trees(model)

    @cached_property
    def reader(self) -> Reader:
        """Reader for models or batches that cannot be read as a tree."""
        return Reader(self.model)

    def score(self, questions: Sequence[PromptCandidates]) -> list[CandidateScores]:
        """Return the scores of a batch."""
        plan = _Plan(questions)
        edges: dict[int, list[_Edge]] = {}
        for edge in sorted({edge for paths in plan.paths for path in paths for edge in path}):
            edges.setdefault(edge.after, []).append(edge)
        values = self._at_once(plan.tree, edges)
        if values is None:
            values = self._by_depth(plan.tree, edges)
        return [_sums(paths, values) for paths in plan.paths]

    def _at_once(self, tree: TokenTree, edges: dict[int, list[_Edge]]) -> _Values | None:
        """Return the values of all edges from one pass; None where it cannot be had."""
        if not self.reads_trees or len(tree) > most_places(self.model):
            return None
        logits = read_tree(self.model, tree, list(edges))
        # What is no number spoils other rows of a tree, too: nothing times NaN is NaN.
        return self._pick(logits, tree, list(edges.values())) if bool(are_distributions(logits).all()) else None

    def _by_depth(self, tree: TokenTree, edges: dict[int, list[_Edge]]) -> _Values:
        """Return the values of all edges, reading all prompts first, then the prefixes token by token."""
        steps = tree.steps
        ends = [number for number in edges if not steps[number].written]
        room = max(tree.depth) + 1 - min(tree.depth[number] for number in ends)
        state, logits = self.reader.read([tree.path(number) for number in ends], room=room)
        values: _Values = {}
        rows = ends
        while True:
            values |= self._pick(logits, tree, [edges[number] for number in rows])
            place = {number: row for row, number in enumerate(rows)}
            rows = [number for number, step in enumerate(steps) if step.written and step.parent in place]
            if not rows:
                return values
            state.select(torch.tensor([place[steps[number].parent] for number in rows], device=logits.device))
            tokens = torch.tensor([[steps[number].token] for number in rows], device=logits.device)
            logits = state.extend(tokens, torch.ones_like(tokens[:, 0]), written=True)[:, -1]

    def _pick(self, logits: torch.Tensor, tree: TokenTree, edges: Sequence[list[_Edge]]) -> _Values:
        """Return both log-probabilities of the edges of each row of logits, some rows at a time."""
        at_once = max(1, BYTES_AT_ONCE["cuda" if logits.is_cuda else "cpu"] // (8 * logits.shape[-1]))
        values: _Values = {}
        for start in range(0, len(edges), at_once):
            part = edges[start : start + at_once]
            wanted = [edge for of_row in part for edge in of_row]
            row = torch.tensor([number for number, of_row in enumerate(part) for _ in of_row], device=logits.device)
            token = torch.tensor([edge.token for edge in wanted], device=logits.device)
            context = pad_with_own([tree.path(of_row[0].after) for of_row in part]).to(logits.device)
            plain = without(logits[start : start + at_once].float(), self.never)
            both = (plain, warp_logits(plain, context, self.decoding))
            picked = torch.stack([scores.log_softmax(-1)[row, token] for scores in both], -1)
            values.update(zip(wanted, map(tuple, picked.double().tolist()), strict=True))
        return values


def _sums(paths: Sequence[list[_Edge]], values: _Values) -> CandidateScores:
    """Return the sums of the values along each path."""
    plain = [sum(values[edge][0] for edge in path) for path in paths]
    return CandidateScores(plain, [sum(values[edge][1] for edge in path) for path in paths])
