"""The log-probability of every token of a sentence, for each kind of language model (see ``models.kind_of``).

* causal: of each token after those before it. State-space models are read in the same way.
* masked: of each token after all others, with the token itself masked. The sum is the pseudo-log-likelihood (Salazar
  et al. 2020, "Masked Language Model Scoring", section 2). Tokens of one word tell much about each other, so that long
  names gain by it (Kauf & Ivanova 2023, "A Better Way to Do Masked Language Model Scoring", section 3).
* encoder–decoder: as masked, by the task that T5 was trained on (Raffel et al. 2020, "Exploring the Limits of Transfer
  Learning", section 3.1.4): the encoder reads the sentence with a sentinel in the token's place, the decoder reads its
  start and the sentinel and says what stood there. That the gap holds no further token is not part of the value.

Log-softmax is in float32, in nats. The code of this module is part of the law that values are stored under.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os.path import commonprefix
from typing import NamedTuple

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import ModelOutput

from leakscope.batching import cut, shrinking
from leakscope.decoding import DecodingState, Reader

PADDING = 0  # any id: no token that counts sees it


class TokenRow(NamedTuple):
    """A sentence as a model reads it: ``ids``, special tokens included, and the ``places`` of those that are scored."""

    ids: list[int]
    places: range


Scored = dict[int, list[float]]
Predict = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@torch.inference_mode()
def score_causal(
    model: PreTrainedModel, rows: Sequence[TokenRow], *, batch_size: int, share: bool = True
) -> Iterator[Scored]:
    """Yield row number → log p(token | tokens before it) of its ``places``, some rows at a time, longest first.

    Args:
        model: causal.
        rows: ``places`` go on to the end of ``ids`` and do not begin with its first.
        batch_size: rows to a batch.
    """
    reader = Reader(model)
    longest = max(len(row.ids) for row in rows)
    if share and reader.caches and (reader.window is None or longest <= reader.window):
        stems = plan_stems([row.ids for row in rows])

        def key(i):
            leaf = len(rows[i].ids) - stems[i]
            return (-(leaf - 1).bit_length(), -stems[i], rows[i].ids[: stems[i]], -leaf)

        order = sorted(range(len(rows)), key=key)
        yield from shrinking(
            cut(order, batch_size),
            lambda b: dict(zip(b, _score_shared(reader, [rows[i] for i in b], [stems[i] for i in b]))),
        )
        return
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row].ids))

    def score(batch: list[int]) -> Scored:
        return dict(zip(batch, _score_whole(model, [rows[row] for row in batch]), strict=True))

    yield from shrinking(cut(order, batch_size), score)


def plan_stems(ids):
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    stems = [1] * len(ids)

    def best(lo, hi, base):
        first, last = ids[order[lo]], ids[order[hi - 1]]
        if hi - lo == 1:
            return 0, [(lo, hi, base)]
        n = 0
        m = min(len(first), len(last))
        while n < m and first[n] == last[n]:
            n += 1
        shortest = min(len(ids[order[i]]) for i in range(lo, hi))
        depth = min(n, shortest - 1)
        own = (hi - lo - 1) * depth
        total, cuts, start = 0, [], lo
        for i in range(lo + 1, hi + 1):
            if i == hi or ids[order[i]][n : n + 1] != ids[order[start]][n : n + 1]:
                if i - start == hi - lo:
                    return own, [(lo, hi, depth)]
                s, c = best(start, i, base)
                total += s
                cuts += c
                start = i
        if own >= total:
            return own, [(lo, hi, depth)]
        # leftover single ones stay with the base
        return total, cuts

    for lo, hi, depth in best(0, len(order), 1)[1]:
        for i in range(lo, hi):
            stems[order[i]] = depth
    return stems


def _score_shared(reader, rows, lengths):
    first = rows[0].places[0]
    lengths = [max(first, n) for n in lengths]
    stems = [tuple(r.ids[:n]) for r, n in zip(rows, lengths)]
    distinct = list(dict.fromkeys(stems))
    where = {s: k for k, s in enumerate(distinct)}
    owner = torch.tensor([where[s] for s in stems])
    longest = max(len(r.ids) for r in rows)
    state, logits = reader.read([list(distinct[0][:first])], room=longest)
    state.select(torch.zeros(len(distinct), dtype=torch.long))
    stem_rest = [list(s[first:]) for s in distinct]
    leaf = [r.ids[n:] for r, n in zip(rows, lengths)]
    w = max(map(len, stem_rest))
    after = logits.expand(len(distinct), -1)[:, None]
    stem_lp = [[] for _ in distinct]
    if w:
        t = torch.tensor([s + [0] * (w - len(s)) for s in stem_rest])
        ln = torch.tensor([len(s) for s in stem_rest])
        after = torch.cat([after, state.extend(t, ln)], 1)
        stem_lp = _pick(after[:, :-1], t, [range(len(s)) for s in stem_rest])
        after = after[torch.arange(len(distinct)), ln]
    else:
        after = after[:, 0]
    state.select(owner)
    w = max(map(len, leaf))
    t = torch.tensor([s + [0] * (w - len(s)) for s in leaf])
    ln = torch.tensor([len(s) for s in leaf])
    after = after[owner][:, None]
    if w > 1:
        after = torch.cat([after, state.extend(t[:, :-1], ln - 1)], 1)
    leaf_lp = _pick(after, t, [range(len(s)) for s in leaf])
    return [stem_lp[o] + l for o, l in zip(owner.tolist(), leaf_lp)]


def _score_whole(model: PreTrainedModel, rows: Sequence[TokenRow]) -> list[list[float]]:
    """Return the log-probabilities of each row's tokens after those before them."""
    ids, counted = _pad([row.ids for row in rows], model.device)
    # What comes after the last token is not asked for, so it is not read.
    output = model(input_ids=ids[:, :-1], attention_mask=counted[:, :-1], use_cache=False)
    return _pick(output.logits, ids[:, 1:], [range(row.places.start - 1, row.places.stop - 1) for row in rows])


def _pick(logits: torch.Tensor, tokens: torch.Tensor, places: Sequence[range]) -> list[list[float]]:
    """Return the log-probabilities of the tokens at the places of each row, (rows, width, vocabulary) given."""
    row = torch.tensor([i for i, span in enumerate(places) for _ in span], device=logits.device)
    place = torch.tensor([j for span in places for j in span], device=logits.device)
    wanted = tokens.to(logits.device)[row, place]
    picked = iter(log_probabilities(logits[row, place], wanted))
    return [[next(picked) for _ in span] for span in places]


def log_probabilities(logits: torch.Tensor, tokens: torch.Tensor) -> list[float]:
    """Return log p(token), (n,), of logits (n, vocabulary)."""
    values: list[float] = logits.float().log_softmax(-1).gather(-1, tokens[:, None]).squeeze(-1).double().tolist()
    return values


def _pad(rows: Sequence[list[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids padded on the right and where they count, both (rows, longest)."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows], device=device)
    counted = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    return ids, counted
