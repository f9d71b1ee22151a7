"""Activation patching of single attention heads: which heads move the concept's information to the last token.

A head's input to its block's output projection at the last token is copied from the run with concept c into the run
with c′; the restored share is as in ``patching``. Unlike a site, a head is patched in one block only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import pandas as pd
import torch

from leakscope.errors import InputError
from leakscope.jobs.batching import cut, shrinking
from leakscope.jobs.progress import progress
from leakscope.models.editing.residuals import decoder_blocks, name_of
from leakscope.models.editing.resuming import Resumer
from leakscope.models.finite import all_finite, no_numbers
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.trace.layers.answers import Margin
from leakscope.trace.layers.columns import PATCHED_COLUMNS
from leakscope.trace.layers.patching import batches_of, swap_columns, swaps_of
from leakscope.trace.layers.swaps import Swap

# Names of the modules that join the heads of a block's attention.
PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense")


class HeadMargins(NamedTuple):
    """For one pair: m of both runs, and by block and head m of the patched run."""

    concept: float
    other: float
    patched: dict[tuple[int, int], float]


def patch_prompt_heads(
    model: LanguageModel,
    prompts: pd.DataFrame,
    candidates: pd.DataFrame,
    name: str,
    prompting: Prompting,
    *,
    n_pairs: int,
    blocks: Sequence[int],
) -> pd.DataFrame:
    """Return ``columns.PATCHED_COLUMNS`` of the pairs that ``patching.patch_prompts`` draws: a row per pair, block,
    head.

    ``site`` is ``head <number>``, from 0; ``layer`` is that of the block's output, its index plus 1.

    Args:
        model: to patch.
        prompts: of one set.
        candidates: ``slot, candidate, concept_group``.
        name: the model's.
        prompting: as in the step ``leak``.
        n_pairs: at most.
        blocks: indices from 0; those that the model lacks are skipped.

    Raises:
        InputError: the model's output projection of heads has no known name; or as ``patching.patch_prompts``.
    """
    n_blocks = model.config.get_text_config().num_hidden_layers if blocks else 0
    blocks = [block for block in blocks if block < n_blocks]
    if not blocks:
        return pd.DataFrame(columns=PATCHED_COLUMNS)
    tests, pairs, _ = swaps_of(model, prompts, candidates, prompting, n_pairs)
    if not pairs:
        return pd.DataFrame(columns=PATCHED_COLUMNS)
    batch_size = max(1, prompting.settings["batch_size"] // 2)
    found = patch_heads(Resumer(model.model), pairs, blocks, batch_size=batch_size, name=name)
    done = progress(found, total=len(pairs), name=name, unit="pair", size=len)
    margins = {number: values for batch in done for number, values in batch.items()}
    rows = [
        (*swap_columns(name, tests, pair), f"head {head}", block + 1, m, margins[number].concept, margins[number].other)
        for number, pair in enumerate(pairs)
        for (block, head), m in margins[number].patched.items()
    ]
    return pd.DataFrame(rows, columns=PATCHED_COLUMNS)


def patch_heads(
    resumer: Resumer, pairs: Sequence[Swap], blocks: Sequence[int], *, batch_size: int, name: str
) -> Iterator[dict[int, HeadMargins]]:
    """Yield index of the pair → its margins, a batch at a time.

    Args:
        resumer: of the model.
        pairs: to patch.
        blocks: indices from 0.
        batch_size: runs per batch; a batch that does not fit into memory is split.
        name: the model's, for messages.

    Raises:
        InputError: as ``patch_prompt_heads``.
    """
    projections = {block: output_projection(resumer.model, block) for block in blocks}

    def work(batch: list[int]) -> dict[int, HeadMargins]:
        found = _patch(resumer, [pairs[number] for number in batch], projections, batch_size)
        numbers = [value for one in found for value in (one.concept, one.other, *one.patched.values())]
        if not all_finite(torch.tensor(numbers)):
            raise no_numbers(name, "in a run that is patched")
        return dict(zip(batch, found, strict=True))

    yield from shrinking(batches_of(pairs, batch_size), work)


def output_projection(model: Any, block: int) -> torch.nn.Module:
    """Return the module that joins the heads of a block's attention, whose input is theirs side by side.

    Raises:
        InputError: there is none that is called as it is in models that are known.
    """
    module: torch.nn.Module
    for path, module in decoder_blocks(model)[block].named_modules():
        parent, _, last = path.rpartition(".")
        if last in PROJECTIONS and "att" in parent.lower():
            return module
    raise InputError(
        f"trace.patching.heads: got model {name_of(model)}, whose block {block} has no attention with one of "
        f"{', '.join(PROJECTIONS)}; allowed: models that have one, or an empty list."
    )


def _patch(
    resumer: Resumer, pairs: Sequence[Swap], projections: dict[int, torch.nn.Module], batch_size: int
) -> list[HeadMargins]:
    """Return the margins of pairs whose texts with c all have one length, and those with c′ another."""
    given: dict[int, torch.Tensor] = {}

    def keep(block: int) -> Any:
        return lambda _, values: given.__setitem__(block, values[0][:, -1].clone())

    with ExitStack() as stack:
        for block, projection in projections.items():
            stack.enter_context(projection.register_forward_pre_hook(keep(block)))
        source = resumer.read(torch.tensor([pair.source for pair in pairs])).logits
    ids = torch.tensor([pair.target for pair in pairs])
    target, margin = resumer.read(ids), Margin([pair.contrast for pair in pairs])
    n_heads = resumer.model.config.get_text_config().num_attention_heads
    patched: list[dict[tuple[int, int], float]] = [{} for _ in pairs]
    for block, projection in projections.items():
        runs = [(row, head) for row in range(len(pairs)) for head in range(n_heads)]
        for part in cut(runs, batch_size):
            rows, heads = (torch.tensor(side) for side in zip(*part, strict=True))
            hook = _putting(given[block][rows.to(given[block].device)], heads, n_heads)
            residuals = target.residuals[block]
            with projection.register_forward_pre_hook(hook):
                logits = resumer.resume(ids[rows], block, residuals[rows.to(residuals.device)])
            values = Margin([pairs[row].contrast for row, _ in part]).of(logits)
            for (row, head), value in zip(part, values, strict=True):
                patched[row][block, head] = value
    return list(map(HeadMargins, margin.of(source), margin.of(target.logits), patched))


def _putting(theirs: torch.Tensor, heads: torch.Tensor, n_heads: int) -> Any:
    """Return a hook that puts one head's values at the last token into each row, [rows, heads · width]."""
    width = theirs.shape[-1] // n_heads
    chosen = (torch.arange(theirs.shape[-1]) // width == heads[:, None]).to(theirs.device)

    def put(_: torch.nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        values = given[0].clone()
        values[:, -1] = torch.where(chosen, theirs, values[:, -1])
        return (values, *given[1:])

    return put
