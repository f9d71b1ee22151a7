"""Log-odds of a candidate after a generator prompt, and log-probabilities of yes and no after a validator prompt.

Log-softmax is in float32, in nats. The log-odds of a token, log p − log(1−p), never subtract from 1 a p that float32
rounds to 1: there 1−p is the sum over all other tokens, so log-odds are right however sure a model is, and infinite
only where a logit is. The code of this module is part of the fingerprint that values are stored under.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os.path import commonprefix
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from leakscope.jobs.batching import cut, shrinking
from leakscope.models.decoding import DecodingState, Reader, shared_length
from leakscope.models.sentence_logprobs import plan_stems

EVEN = math.log(0.5)
SECOND_STEP = 0.25  # places of each row that a second step has to save


class Continuation(NamedTuple):
    """Ids of a rendered prompt, and the ids that a candidate adds to it; at least one each."""

    prompt: list[int]
    candidate: list[int]


@torch.inference_mode()
def candidate_log_odds(
    model: PreTrainedModel, rows: Sequence[Continuation], *, batch_size: int
) -> Iterator[dict[int, list[float]]]:
    """Yield row number → log-odds of each token of its candidate after the tokens before it, some rows at a time.

    A prompt is read once for its candidates, and a long beginning that a batch's prompts share once for all of them. A
    batch that does not fit into memory is divided.

    Args:
        model: causal.
        rows: may share prompts.
        batch_size: a distinct prompt counts as one, and so does a candidate of several tokens.
    """
    reader = Reader(model)

    def score(batch: list[int]) -> dict[int, list[float]]:
        return dict(zip(batch, _score_candidates(reader, [rows[row] for row in batch]), strict=True))

    yield from shrinking(_plan_rows(rows, batch_size), score)


@torch.inference_mode()
def answer_logprobs(
    model: PreTrainedModel, prompts: Sequence[list[int]], answers: Sequence[Sequence[int]], *, batch_size: int
) -> Iterator[dict[int, list[float]]]:
    """Yield prompt number → log Σ p over the ids of each answer, as the next token, some prompts at a time.

    Beginnings that prompts of a batch share, such as those about one thing, are read once for all of them where the
    model's cache can be handed on. Only the logits after a prompt's end are computed.

    Args:
        model: causal.
        prompts: token ids.
        answers: the ids that count as each answer.
        batch_size: prompts to a batch; one that does not fit into memory is divided.
    """
    reader = Reader(model)

    def score(batch: list[int]) -> dict[int, list[float]]:
        logprobs = _read_ends(reader, [prompts[number] for number in batch]).float().log_softmax(-1)
        return dict(zip(batch, sum_answers(logprobs, answers), strict=True))

    yield from shrinking(cut(plan_prompts(prompts), batch_size), score)


def token_log_odds(logprobs: torch.Tensor, rows: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """Return log p − log(1−p) of ``tokens[i]`` in row ``rows[i]`` of log-probabilities, (rows, vocabulary), float32."""
    row, token = (torch.tensor(numbers, device=logprobs.device) for numbers in (rows, tokens))
    own = logprobs[row, token].double()
    odds = own - torch.log1p(-own.exp())
    likely = own > EVEN  # at most one token of a row
    if likely.any():
        others = logprobs[row[likely]].scatter(-1, token[likely, None], -math.inf).logsumexp(-1).double()
        odds[likely] = torch.log1p(-others.exp()) - others
    values: list[float] = odds.tolist()
    return values


def sum_answers(logprobs: torch.Tensor, answers: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return log Σ p over the ids of each answer, of each row of log-probabilities, (rows, vocabulary)."""
    sums = [logprobs[:, list(ids)].double().logsumexp(-1) for ids in answers]
    values: list[list[float]] = torch.stack(sums, -1).tolist()
    return values


def plan_prompts(prompts: Sequence[list[int]]) -> list[int]:
    """Return the numbers of prompts in the order in which they are read: the longest first.

    Those that share more than half of their tokens with the next stay together, so that a beginning such as the
    examples of a few-shot form is that of a whole batch, and so do prompts about one thing among them.
    """
    groups: list[list[int]] = []
    for number in sorted(range(len(prompts)), key=lambda number: prompts[number]):
        ids = prompts[number]
        if groups and 2 * len(commonprefix([prompts[groups[-1][-1]], ids])) > len(ids):
            groups[-1].append(number)
        else:
            groups.append([number])
    groups.sort(key=lambda group: -max(len(prompts[number]) for number in group))
    return [number for group in groups for number in group]


def _plan_rows(rows: Sequence[Continuation], batch_size: int) -> list[list[int]]:
    """Cut rows into batches; those of a prompt stay together."""
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for row, (prompt, _) in enumerate(rows):
        by_prompt.setdefault(tuple(prompt), []).append(row)
    of_prompt = list(by_prompt.values())
    batches: list[list[int]] = []
    room = 0
    for number in plan_prompts([rows[numbers[0]].prompt for numbers in of_prompt]):
        n_new_prompts = 1
        for row in of_prompt[number]:
            n_longer = int(len(rows[row].candidate) > 1)
            if not batches or n_new_prompts + n_longer > room:
                batches.append([])
                n_new_prompts, room = 1, max(batch_size, 1 + n_longer)
            batches[-1].append(row)
            room -= n_new_prompts + n_longer
            n_new_prompts = 0
    return batches


def _read_ends(reader: Reader, prompts: Sequence[list[int]]) -> torch.Tensor:
    """Return the logits after each prompt, (prompts, vocabulary)."""
    longest = max(map(len, prompts))
    shared = shared_length(prompts)
    # What all share is read once in any case; stems are what some share beyond it.
    lengths = [max(shared + stem, 1) for stem in plan_stems([prompt[shared:] for prompt in prompts])]
    stems = [tuple(prompt[:length]) for prompt, length in zip(prompts, lengths, strict=True)]
    rests = [prompt[length:] for prompt, length in zip(prompts, lengths, strict=True)]
    distinct = {stem: number for number, stem in enumerate(dict.fromkeys(stems))}
    n_read = len(distinct) * (max(lengths) - shared) + len(prompts) * max(map(len, rests))
    fits = reader.shares and (reader.window is None or longest <= reader.window)
    if not fits or not all(rests) or n_read >= len(prompts) * (longest - shared):
        return reader.read(prompts, room=0).logits
    state, logits = reader.read([list(stem) for stem in distinct], room=max(map(len, rests)))
    state.select(torch.tensor([distinct[stem] for stem in stems], device=logits.device))
    return _read_rests(reader.model, state, rests, logits.device)


def _read_rests(
    model: PreTrainedModel, state: DecodingState, rests: Sequence[list[int]], device: torch.device
) -> torch.Tensor:
    """Return the logits after the last token of each rest, (rows, vocabulary).

    Where a few rests are longer than most, what they have beyond these is read afterwards, and padding is not.
    """
    step = _first_step([len(rest) for rest in rests])
    ended = [row for row, rest in enumerate(rests) if len(rest) <= step]
    logits = _read_ended(model, state, [rest[:step] for rest in rests], ended, device)
    longer = [row for row, rest in enumerate(rests) if len(rest) > step]
    if not longer:
        return logits
    state.select(torch.tensor(longer, device=device))
    beyond = [rests[row][step:] for row in longer]
    whole = logits.new_empty(len(rests), logits.shape[-1])
    whole[ended] = logits
    whole[longer] = _read_ended(model, state, beyond, range(len(longer)), device)
    return whole


def _first_step(lengths: Sequence[int]) -> int:
    """Return up to which place all rows are read at once: the one that makes the fewest places to read."""
    longest = max(lengths)

    def n_places(step: int) -> float:
        beyond = sum(length > step for length in lengths) * (longest - step)
        return len(lengths) * (step + SECOND_STEP * (beyond > 0)) + beyond

    return min(sorted(set(lengths), reverse=True), key=n_places)


def _read_ended(
    model: PreTrainedModel,
    state: DecodingState,
    rests: Sequence[list[int]],
    ended: Sequence[int],
    device: torch.device,
) -> torch.Tensor:
    """Read on through every row, and return the logits after the last token of those that have ended."""
    width = max(map(len, rests))
    tokens = torch.tensor([[*rest, *[0] * (width - len(rest))] for rest in rests], device=device)
    lengths = torch.tensor([len(rest) for rest in rests], device=device)
    rows = torch.tensor(list(ended), device=device)
    with _unembedding_only(model, rows, lengths[rows] - 1):
        logits = state.extend(tokens, lengths)
    # A model that is built otherwise than most has computed them at every place.
    return logits[:, 0] if logits.shape[:2] == (len(rows), 1) else logits[rows, lengths[rows] - 1]


@contextmanager
def _unembedding_only(model: PreTrainedModel, rows: torch.Tensor, places: torch.Tensor) -> Iterator[None]:
    """Let the output embeddings see one place of some rows: over a vocabulary, logits cost as much as some blocks."""
    unembedding = model.get_output_embeddings()
    if unembedding is None:
        yield
        return

    def keep(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        chosen = given[0][rows.to(given[0].device), places.to(given[0].device)]
        return (chosen[:, None], *given[1:])

    with unembedding.register_forward_pre_hook(keep):
        yield


def _score_candidates(reader: Reader, rows: Sequence[Continuation]) -> list[list[float]]:
    """Read every distinct prompt, then on through the candidates of several tokens."""
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(tuple(row.prompt) for row in rows))}
    owner = [numbers[tuple(row.prompt)] for row in rows]
    width = max(len(row.candidate) for row in rows)
    state, logits = reader.read([list(prompt) for prompt in numbers], room=width)
    first = token_log_odds(logits.float().log_softmax(-1), owner, [row.candidate[0] for row in rows])
    values = [[value] for value in first]
    longer = [row for row, (_, candidate) in enumerate(rows) if len(candidate) > 1]
    if longer:
        state.select(torch.tensor([owner[row] for row in longer], device=logits.device))
        rest = _read_on(state, [rows[row].candidate for row in longer], logits.device)
        for row, odds in zip(longer, rest, strict=True):
            values[row] += odds
    return values


def _read_on(state: DecodingState, candidates: Sequence[list[int]], device: torch.device) -> list[list[float]]:
    """Return the log-odds of every token but the first of each candidate."""
    width = max(map(len, candidates))
    tokens = torch.tensor([[*row[:-1], *[0] * (width - len(row))] for row in candidates], device=device)
    logits = state.extend(tokens, torch.tensor([len(row) - 1 for row in candidates], device=device))
    values: list[list[float]] = [[] for _ in candidates]
    for place in range(1, width):  # one after another: in float32, all of them would take several times the memory
        rows = [row for row, candidate in enumerate(candidates) if len(candidate) > place]
        logprobs = logits[rows, place - 1].float().log_softmax(-1)
        for row, odds in zip(
            rows, token_log_odds(logprobs, range(len(rows)), [candidates[row][place] for row in rows]), strict=True
        ):
            values[row].append(odds)
    return values
