"""The log-probability of every token of a sentence, for each kind of language model (see ``kinds.kind_of``).

* Causal: of each token after those before it. State-space models are read in the same way.
* Masked: of each token given all others, with the token itself masked. Their sum is no log-probability of the sentence,
  but its pseudo-log-likelihood (Salazar et al. 2020, "Masked Language Model Scoring"). Tokens of one word tell much
  about each other, so that long names gain by it; ``ground.within_word`` masks them together.
* Encoder–decoder: as masked, by the task that T5 was trained on (Raffel et al. 2020, "Exploring the Limits of Transfer
  Learning with a Unified Text-to-Text Transformer", section 3.1.4): the encoder reads the sentence with a sentinel in
  the token's place, the decoder reads its start and the sentinel, and says what stood there. That nothing else stood
  there is no part of the value.

Log-softmax is in float32, in nats. The code of this module is part of the fingerprint that values are stored under.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from os.path import commonprefix
from typing import Any, NamedTuple

import torch
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from leakscope.jobs.batching import cut, shrinking
from leakscope.models.decoding import DecodingState, Reader

PADDING = 0  # Any id will do: it stands on the right, where no token that counts sees it.


class TokenRow(NamedTuple):
    """A sentence as a model reads it: ``ids``, special tokens included, and the ``places`` of those that are scored."""

    ids: list[int]
    places: range


class _Blank(NamedTuple):
    """A copy of a row in which one place is to be filled in."""

    row: int
    place: int


Scored = dict[int, list[float]]


@torch.inference_mode()
def score_causal(model: PreTrainedModel, rows: Sequence[TokenRow], *, batch_size: int) -> Iterator[Scored]:
    """Yield row number → log p(token | tokens before it) for each of its ``places``, some rows at a time.

    A beginning that several rows share is read once for those of a batch, where the model's cache can be handed on; the
    values are the same up to rounding. A batch that does not fit into memory is divided.

    Args:
        model: causal.
        rows: all with the same ids before ``places``, at least one; ``places`` go on to the end.
        batch_size: rows to a batch.
    """
    reader = Reader(model)
    lengths = [len(row.ids) for row in rows]
    shares = reader.shares and (reader.window is None or max(lengths) <= reader.window)
    planned = plan_stems([row.ids for row in rows]) if shares else [0] * len(rows)
    stems = [max(stem, rows[0].places.start) for stem in planned]

    def order(row: int) -> tuple[int, int, list[int], int]:
        # Rows of a stem stay together, but not long ones with short ones: padding would cost more than a stem.
        rest = lengths[row] - stems[row]
        return -(rest - 1).bit_length(), -stems[row], rows[row].ids[: stems[row]], -rest

    def score(batch: list[int]) -> Scored:
        taken = [rows[row] for row in batch]
        values = _score_stems(reader, taken, [stems[row] for row in batch]) if shares else _score_whole(model, taken)
        return dict(zip(batch, values, strict=True))

    ordered = sorted(range(len(rows)), key=order if shares else lambda row: -lengths[row])
    yield from shrinking(cut(ordered, batch_size), score)


@torch.inference_mode()
def score_masked(model: PreTrainedModel, rows: Sequence[TokenRow], mask: int, *, batch_size: int) -> Iterator[Scored]:
    """Yield row number → log p(token | all others) for each of its ``places``, some rows at a time, longest first.

    Args:
        model: masked.
        rows: sentences.
        mask: id of the mask token.
        batch_size: masked copies to a batch; a row has one for each of its ``places``.
    """

    def predict(ids: torch.Tensor, counted: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        with _only_at(model, places):
            logits: torch.Tensor = model(input_ids=ids, attention_mask=counted).logits
        # A model that is built otherwise than most has computed them at every place.
        return logits[:, 0] if logits.shape[1] == 1 else _at(logits, places)

    yield from _score_blanks(model, rows, mask, predict, batch_size)


@torch.inference_mode()
def score_encoder_decoder(
    model: PreTrainedModel, rows: Sequence[TokenRow], sentinel: int, start: int, *, batch_size: int
) -> Iterator[Scored]:
    """Yield row number → log p(token | all others) for each of its ``places``, some rows at a time, longest first.

    Args:
        model: encoder–decoder of the T5 family.
        rows: sentences as the encoder reads them.
        sentinel: id of the first sentinel.
        start: id that the decoder begins with.
        batch_size: copies with a sentinel to a batch; a row has one for each of its ``places``.
    """

    def predict(ids: torch.Tensor, counted: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        told = torch.tensor([[start, sentinel]], device=ids.device).expand(len(ids), -1)
        output = model(input_ids=ids, attention_mask=counted, decoder_input_ids=told, use_cache=False)
        logits: torch.Tensor = output.logits[:, 1]
        return logits

    yield from _score_blanks(model, rows, sentinel, predict, batch_size)


def plan_stems(rows: Sequence[list[int]]) -> list[int]:
    """Return how many first ids of each row are read once for all rows with this stem; 0 where nothing is gained.

    At least one id is left to each row.
    """
    order = sorted(range(len(rows)), key=lambda row: rows[row])
    _, stems = _choose_stems([rows[row] for row in order])
    by_row = dict(zip(order, stems, strict=True))
    return [by_row[row] for row in range(len(rows))]


def _choose_stems(rows: Sequence[list[int]]) -> tuple[int, list[int]]:
    """Return how many ids need not be read, and the stem of each of these sorted rows.

    What all of them share is the stem of those parts that save no more by longer ones of their own.
    """
    if len(rows) == 1:
        return 0, [0]
    shared = len(commonprefix([rows[0], rows[-1]]))
    stem = min(shared, len(rows[0]) - 1)
    if rows[0] == rows[-1]:
        return (len(rows) - 1) * stem, [stem] * len(rows)
    parts = [_choose_stems(list(part)) for _, part in groupby(rows, lambda row: row[shared : shared + 1])]
    with_stem = [
        part if part[0] > len(part[1]) * stem else (len(part[1]) * stem, [stem] * len(part[1])) for part in parts
    ]
    alone, together = sum(saved for saved, _ in parts), sum(saved for saved, _ in with_stem) - stem
    chosen = with_stem if together > alone else parts
    return max(alone, together), [stem for _, stems in chosen for stem in stems]


def _score_whole(model: PreTrainedModel, rows: Sequence[TokenRow]) -> list[list[float]]:
    """Read every row from beginning to end."""
    start = rows[0].places.start
    # What comes after the last token is not asked for, so it is not read.
    ids, lengths = _pad([row.ids[:-1] for row in rows], model.device)
    logits = model(input_ids=ids, attention_mask=_counted(ids, lengths), use_cache=False).logits
    return _pick(logits[:, start - 1 :], [row.ids[start:] for row in rows])


def _score_stems(reader: Reader, rows: Sequence[TokenRow], stems: Sequence[int]) -> list[list[float]]:
    """Read every distinct stem once, then what is left of the rows."""
    start = rows[0].places.start
    beginnings = [tuple(row.ids[start:stem]) for row, stem in zip(rows, stems, strict=True)]
    distinct = {beginning: number for number, beginning in enumerate(dict.fromkeys(beginnings))}
    state, logits = reader.read([rows[0].ids[:start]], room=max(len(row.ids) for row in rows) - start)
    state.select(torch.zeros(len(distinct), dtype=torch.long, device=logits.device))
    ids, lengths = _pad(list(distinct), logits.device)
    around = _read_on(state, logits.expand(len(distinct), -1), ids, lengths)
    of_stems = _pick(around, list(distinct))
    owner = torch.tensor([distinct[beginning] for beginning in beginnings], device=logits.device)
    state.select(owner)
    rest = [row.ids[stem:] for row, stem in zip(rows, stems, strict=True)]
    ids, counts = _pad([row[:-1] for row in rest], logits.device)
    of_rest = _pick(_read_on(state, around[owner, lengths[owner]], ids, counts), rest)
    return [of_stems[stem] + values for stem, values in zip(owner.tolist(), of_rest, strict=True)]


def _read_on(state: DecodingState, before: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the logits ``before`` these tokens and after each of them, (rows, width + 1, vocabulary)."""
    if tokens.shape[1] == 0:
        return before[:, None]
    return torch.cat([before[:, None], state.extend(tokens, lengths)], 1)


def _score_blanks(
    model: PreTrainedModel,
    rows: Sequence[TokenRow],
    filler: int,
    predict: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    batch_size: int,
) -> Iterator[Scored]:
    """Put ``filler`` into one place after another; ``predict`` turns such copies into logits, (copies, vocabulary)."""
    ordered = sorted(range(len(rows)), key=lambda row: -len(rows[row].ids))
    blanks = [_Blank(row, place) for row in ordered for place in rows[row].places]

    def fill_in(batch: list[_Blank]) -> list[tuple[int, float]]:
        ids, lengths = _pad([rows[blank.row].ids for blank in batch], model.device)
        places = torch.tensor([blank.place for blank in batch], device=model.device)
        copies = torch.arange(len(batch), device=model.device)
        wanted = ids[copies, places]
        ids[copies, places] = filler
        values = _log_probabilities(predict(ids, _counted(ids, lengths), places), wanted)
        return list(zip((blank.row for blank in batch), values, strict=True))

    found: Scored = {}
    for filled in shrinking(cut(blanks, batch_size), fill_in):
        for row, value in filled:
            found.setdefault(row, []).append(value)
        finished = [row for row, values in found.items() if len(values) == len(rows[row].places)]
        if finished:
            yield {row: found.pop(row) for row in finished}


def _only_at(model: PreTrainedModel, places: torch.Tensor) -> RemovableHandle:
    """Let the head of a masked model see one place of each row: logits over a vocabulary are most of the memory.

    To be entered; what is left then has the model as it was.
    """

    def keep(module: torch.nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, ModelOutput) and "last_hidden_state" in output:
            output["last_hidden_state"] = _at(output["last_hidden_state"], places)[:, None]

    handle: RemovableHandle = model.base_model.register_forward_hook(keep)
    return handle


def _at(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return ``values[row, places[row]]`` of every row."""
    return values[torch.arange(len(values), device=values.device), places.to(values.device)]


def _pick(logits: torch.Tensor, rows: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return the log-probability of every token of each row; those of token t are at ``logits[row, t]``."""
    row_of = torch.tensor([number for number, row in enumerate(rows) for _ in row], dtype=torch.long)
    place = torch.tensor([place for row in rows for place in range(len(row))], dtype=torch.long)
    wanted = torch.tensor([token for row in rows for token in row], dtype=torch.long)
    device = logits.device
    values = iter(_log_probabilities(logits[row_of.to(device), place.to(device)], wanted))
    return [[next(values) for _ in row] for row in rows]


def _log_probabilities(logits: torch.Tensor, tokens: torch.Tensor) -> list[float]:
    """Return log p(token) of each row of logits, (rows, vocabulary)."""
    logprobs = logits.float().log_softmax(-1)
    values: list[float] = logprobs.gather(-1, tokens.to(logits.device)[:, None]).squeeze(-1).tolist()
    return values


def _pad(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows padded on the right, (rows, longest), and their lengths."""
    lengths = [len(row) for row in rows]
    padded = [[*row, *[PADDING] * (max(lengths) - len(row))] for row in rows]
    return torch.tensor(padded, dtype=torch.long, device=device), torch.tensor(lengths, device=device)


def _counted(ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the attention mask of rows padded on the right."""
    return (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
