"""Activation patching: replace some residuals of a run by those of another concept's run.

Residuals of the run with concept c replace those of the run with c′, at one layer and site. With m the logit of c's
associates minus that of c′'s associates at the end of the text, the restored share is

    (m_patched − m_c′) / (m_c − m_c′)

0 if the residuals at that site and layer have no effect, 1 if they carry the whole effect (Meng et al. 2022, Locating
and editing factual associations in GPT; Zhang & Nanda 2024, Towards best practices of activation patching). A site's
curve over layers shows where the concept is read, and when it has moved to the last token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd
import torch

from leakscope.jobs.batching import cut, shrinking
from leakscope.jobs.progress import progress
from leakscope.models.editing.resuming import Resumer, Stream
from leakscope.models.finite import all_finite, no_numbers
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.trace.layers.answers import Margin, prompted
from leakscope.trace.layers.columns import ALL, BETWEEN, CONCEPT, LAST, PATCHED_COLUMNS
from leakscope.trace.layers.swaps import Swap, draw_swaps


class Patched(NamedTuple):
    """``PATCHED_COLUMNS``, and the pairs by template (``columns.COUNT_COLUMNS``)."""

    table: pd.DataFrame
    counts: pd.DataFrame


class Margins(NamedTuple):
    """For one pair: m of both runs, and site → m of the patched run by layer of the residual stream."""

    concept: float
    other: float
    patched: dict[str, list[float]]


class _Patch(NamedTuple):
    """A place to patch: a site, the index of a pair, and its tokens in the text with c′."""

    site: str
    number: int
    tokens: range


def patch_prompts(
    model: LanguageModel,
    prompts: pd.DataFrame,
    candidates: pd.DataFrame,
    name: str,
    prompting: Prompting,
    *,
    n_pairs: int,
    sites: Sequence[str],
) -> Patched:
    """Return m of up to ``n_pairs`` pairs of test prompts, patched at each site and layer, in logits.

    Layer 0 of the residual stream is the first block's input, layer n the nth block's output. Sites: ``concept``, the
    concept's tokens; ``between``, those after it except the last; ``last``; and ``all``, from the concept on, which
    restores everything. Sites without a token have no row.

    Args:
        model: to patch.
        prompts: of one set; tests with a template and a slot are used.
        candidates: ``slot, candidate, concept_group``.
        name: the model's.
        prompting: as in the step ``leak``; its seed draws the pairs, and its batch size counts patched runs.
        n_pairs: at most (``swaps.draw_swaps``).
        sites: of ``columns.SITES``.

    Raises:
        InputError: as ``answers.prompted`` and ``Resumer``, or the model's outputs are not finite.
    """
    tests, pairs, counts = swaps_of(model, prompts, candidates, prompting, n_pairs)
    rows = []
    if pairs:
        resumer = Resumer(model.model)
        batch_size = max(1, prompting.settings["batch_size"] // 2)  # two runs a pair
        patched = progress(
            patch_swaps(resumer, pairs, sites, batch_size=batch_size, name=name),
            total=len(pairs), name=name, unit="pair", size=len,
        )  # fmt: skip
        margins = {number: values for batch in patched for number, values in batch.items()}
        rows = [row for number, pair in enumerate(pairs) for row in _rows(name, tests, pair, margins[number])]
    return Patched(pd.DataFrame(rows, columns=PATCHED_COLUMNS), counts)


def swaps_of(
    model: LanguageModel, prompts: pd.DataFrame, candidates: pd.DataFrame, prompting: Prompting, n_pairs: int
) -> tuple[pd.DataFrame, list[Swap], pd.DataFrame]:
    """Return the test prompts, the pairs drawn from them, and their numbers by template."""
    tests = prompts[prompts[["concept_group", "template_id", "slot"]].notna().all(axis=1)].reset_index(drop=True)
    read = prompted(model, tests, candidates, prompting)
    return tests, *draw_swaps(tests, read, candidates, n_pairs, prompting.settings["seed"])


def patch_swaps(
    resumer: Resumer, pairs: Sequence[Swap], sites: Sequence[str], *, batch_size: int, name: str
) -> Iterator[dict[int, Margins]]:
    """Yield index of the pair → its margins, a batch at a time.

    Both runs of a pair are computed once. Then one forward pass per layer handles all pairs of a batch at sites with
    the same first token; it starts at that layer and, with a cache, at the first patched token.

    Args:
        resumer: of the model.
        pairs: to patch.
        sites: of ``columns.SITES``.
        batch_size: pairs per batch; a batch that does not fit into memory is split.
        name: the model's, for messages.
    """

    def work(batch: list[int]) -> dict[int, Margins]:
        found = _patch(resumer, [pairs[number] for number in batch], sites)
        curves = [value for one in found for curve in one.patched.values() for value in curve]
        if not all_finite(torch.tensor([*curves, *(value for one in found for value in (one.concept, one.other))])):
            raise no_numbers(name, "in a run that is patched")
        return dict(zip(batch, found, strict=True))

    yield from shrinking(batches_of(pairs, batch_size), work)


def batches_of(pairs: Sequence[Swap], batch_size: int) -> list[list[int]]:
    """Return batches of indices of pairs with texts of equal length, so that no run is padded."""
    by_length: dict[tuple[int, int], list[int]] = {}
    for number in sorted(range(len(pairs)), key=lambda number: (pairs[number].first_patched, number)):
        by_length.setdefault((len(pairs[number].source), len(pairs[number].target)), []).append(number)
    return [batch for _, numbers in sorted(by_length.items()) for batch in cut(numbers, batch_size)]


def _patch(resumer: Resumer, pairs: Sequence[Swap], sites: Sequence[str]) -> list[Margins]:
    """Return the margins of pairs whose texts with c all have one length, and those with c′ another."""
    source = resumer.read(torch.tensor([pair.source for pair in pairs]))
    target = resumer.read(torch.tensor([pair.target for pair in pairs]))
    margin = Margin([pair.contrast for pair in pairs])
    patched: list[dict[str, list[float]]] = [{} for _ in pairs]
    for places in _by_beginning(pairs, sites):
        curves = _curves(resumer, pairs, places, source.residuals, target)
        for (site, number, _), curve in zip(places, curves, strict=True):
            patched[number][site] = curve
    in_order = [{site: found[site] for site in sites if site in found} for found in patched]
    return list(map(Margins, margin.of(source.logits), margin.of(target.logits), in_order))


def _curves(
    resumer: Resumer, pairs: Sequence[Swap], places: Sequence[_Patch], theirs: Sequence[torch.Tensor], target: Stream
) -> list[list[float]]:
    """Return m by layer after residuals of c's runs replace those of c′ at given places.

    Args:
        resumer: of the model.
        pairs: to which the places refer.
        places: one or several per pair.
        theirs: residuals of c's runs by layer, [pairs, tokens, d].
        target: the runs of c′.
    """
    rows = torch.tensor([place.number for place in places])
    ids = torch.tensor([pairs[place.number].target for place in places])
    margin = Margin([pairs[place.number].contrast for place in places])
    n_tokens = ids.shape[1]
    first = resumer.first_needed(n_tokens, min(place.tokens.start for place in places))
    put = torch.tensor([[token in place.tokens for token in range(first, n_tokens)] for place in places])[..., None]
    by_layer = []
    for layer, (of_source, own) in enumerate(zip(theirs, target.residuals, strict=True)):
        chosen, given = rows.to(own.device), _aligned(of_source, n_tokens)[:, first:]
        residuals = torch.where(put.to(own.device), given[chosen], own[chosen, first:])
        by_layer.append(margin.of(resumer.resume(ids, layer, residuals, target, rows)))
    return [list(curve) for curve in zip(*by_layer, strict=True)]


def _by_beginning(pairs: Sequence[Swap], sites: Sequence[str]) -> list[list[_Patch]]:
    """Return the places to patch, grouped by first token, so that the tokens before are computed only once."""
    first: dict[int, list[_Patch]] = {}
    for site in sites:
        places = [_Patch(site, number, _tokens(site, pair)) for number, pair in enumerate(pairs)]
        places = [place for place in places if place.tokens]
        if places:
            first.setdefault(min(place.tokens.start for place in places), []).extend(places)
    return list(first.values())


def _tokens(site: str, pair: Swap) -> range:
    """Return the tokens of a site in the text with c′."""
    n_tokens = len(pair.target)
    after, last = n_tokens - pair.n_after, n_tokens - 1
    return {
        CONCEPT: range(pair.first_patched, after),
        BETWEEN: range(after, last),
        LAST: range(last, n_tokens),
        ALL: range(pair.first_patched, n_tokens),
    }[site]


def _aligned(residuals: torch.Tensor, n_tokens: int) -> torch.Tensor:
    """Return residuals [rows, tokens, d] of the last tokens, [rows, n_tokens, d]; padded with 0 if there are fewer."""
    return torch.nn.functional.pad(residuals, (0, 0, n_tokens - residuals.shape[1], 0))


def swap_columns(name: str, tests: pd.DataFrame, pair: Swap) -> tuple[object, ...]:
    """Return a pair's values of ``columns.PATCHED_COLUMNS`` before the site."""
    one, other = tests.loc[pair.concept], tests.loc[pair.other]
    about = (name, one["prompt_set"], one["category"], one["template_id"])
    concepts = (one["concept"], one["concept_group"], other["concept"], other["concept_group"])
    return (*about, *concepts, "yes" if pair.aligned else "no")


def _rows(name: str, tests: pd.DataFrame, pair: Swap, margins: Margins) -> Iterator[tuple[object, ...]]:
    about = swap_columns(name, tests, pair)
    for site, curve in margins.patched.items():
        for layer, value in enumerate(curve):
            yield (*about, site, layer, value, margins.concept, margins.other)
