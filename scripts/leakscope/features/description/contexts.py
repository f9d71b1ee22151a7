"""Contexts of features: texts around tokens on which a feature fires, and texts in which it does not.

From the half of the documents for explanations: contexts with the strongest activations (``top``), and contexts of all
strengths (``quantile``). From the half for scoring: random contexts in which the feature fires (``test_firing``), and
contexts in which it never fires (``test_silent``). A kind has at most one context per document, or per set of documents
with the same tokens. Memory grows with features × contexts, not with the texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from leakscope.features.description.context_choice import BestTokens, SilentWindows, spread
from leakscope.features.description.firing import (
    FiringCounts,
    HeldOut,
    TokenBlock,
    firing_blocks,
    read_held_out,
    seeded_uniform,
    token_frequencies,
)
from leakscope.files.writing import replacing
from leakscope.jobs.progress import progress

if TYPE_CHECKING:
    from leakscope.models.editing.dictionary import Dictionary

TOP, QUANTILE, TEST_FIRING, TEST_SILENT = "top", "quantile", "test_firing", "test_silent"
KINDS = (TOP, QUANTILE, TEST_FIRING, TEST_SILENT)
REACH = 16  # tokens on each side
# For each context that is kept: the firing tokens, drawn at random, among which all strengths are looked for.
SAMPLED = 10
FEATURES_AT_ONCE = 512
_SAMPLE_STREAM, _TEST_STREAM = 2, 3


class Contexts(NamedTuple):
    """Chosen contexts, in the order of feature, kind and rank.

    table: ``feature``, ``kind`` (its number among ``KINDS``), ``rank`` from 1, ``token`` (place among all), and
        ``start`` and ``stop`` of the window.
    edges: [contexts + 1], start of each window in ``activations``.
    activations: of the windows' tokens, one after another, float32.
    """

    table: pd.DataFrame
    edges: np.ndarray
    activations: np.ndarray


class FeatureContexts(NamedTuple):
    """Firing of a dictionary on held-out texts; see ``firing.FiringCounts`` and ``firing.token_frequencies``."""

    firing: pd.DataFrame
    token_counts: pd.DataFrame
    tokens: pd.DataFrame
    contexts: Contexts
    held_out: HeldOut


def read_contexts(
    dictionary: Dictionary, paths: Sequence[Path], n_contexts: int, seed: int, name: str
) -> FeatureContexts:
    """Return firing statistics of a dictionary's features on held-out activations, and their contexts, in two passes.

    Args:
        dictionary: with ``encode`` and ``n_features``.
        paths: shards of activations.
        n_contexts: maximum of each kind per feature; a feature that never fires has none.
        seed: of the halves and of all that is chosen at random.
        name: of the line of progress.

    Raises:
        InputError: see ``activations.activation_batches``.
    """
    held_out = read_held_out(paths, seed)
    counts = FiringCounts(dictionary.n_features, held_out)
    choice = _Choice(dictionary.n_features, held_out, n_contexts, seed)
    for block in _told(firing_blocks(dictionary, paths), held_out, f"{name}, first pass"):
        counts.add(block)
        choice.add(block)
    contexts = choice.contexts(counts.n_firing > 0)
    for block in _told(firing_blocks(dictionary, paths), held_out, f"{name}, second pass"):
        counts.add_again(block)
        _fill(contexts, block)
    return FeatureContexts(counts.firing(), counts.token_counts(), token_frequencies(held_out), contexts, held_out)


def write_contexts(described: FeatureContexts, texts: Mapping[int, str], path: Path) -> None:
    """Write a row a context as Parquet, whole or not at all, the contexts of some features at a time.

    Columns: ``feature, kind, rank, document, position, activation`` (at this place; 0 where it is silent), ``tokens``
    and ``activations`` of the window of up to ``REACH`` tokens on each side, ``peak``: which of these is the place.

    Args:
        described: from ``read_contexts``.
        texts: token id → readable text.
        path: to write to.
    """
    features = described.contexts.table["feature"].to_numpy()
    starts = np.searchsorted(features, np.arange(0, len(described.firing) + FEATURES_AT_ONCE, FEATURES_AT_ONCE))
    with replacing(path) as part, parquet.ParquetWriter(part, _SCHEMA) as writer:
        for first, last in zip(starts[:-1], starts[1:], strict=True):
            writer.write_table(_rows(described, texts, int(first), int(last)))


_SCHEMA = pa.schema(
    [
        ("feature", pa.int64()),
        ("kind", pa.string()),
        ("rank", pa.int64()),
        ("document", pa.int64()),
        ("position", pa.int64()),
        ("activation", pa.float64()),
        ("tokens", pa.list_(pa.string())),
        ("activations", pa.list_(pa.float32())),
        ("peak", pa.int64()),
    ]
)


class _Choice:
    """Contexts chosen while activations stream by."""

    def __init__(self, n_features: int, held_out: HeldOut, n_contexts: int, seed: int) -> None:
        self.held_out, self.n_contexts, self.seed = held_out, n_contexts, seed
        self.top = BestTokens(n_features, n_contexts)
        self.sample = BestTokens(n_features, SAMPLED * n_contexts)
        self.test = BestTokens(n_features, n_contexts)
        starts, stops = self._windows(np.arange(len(held_out.token_ids)))
        self.silent = SilentWindows(n_features, held_out, starts, stops, n_contexts, seed)

    def add(self, block: TokenBlock) -> None:
        scoring, texts = self.held_out.scoring[block.tokens], self.held_out.texts
        tokens, features, values = (column[~scoring] for column in block[2:])
        self.top.add(features, values, tokens, values, texts[tokens])
        self.sample.add(features, self._drawn(_SAMPLE_STREAM, tokens, features), tokens, values, texts[tokens])
        tokens, features, values = (column[scoring] for column in block[2:])
        self.test.add(features, self._drawn(_TEST_STREAM, tokens, features), tokens, values, texts[tokens])
        self.silent.add(block)

    def contexts(self, fires: np.ndarray) -> Contexts:
        """Return the contexts of features without activations; only features that fire have ``silent`` contexts."""
        of_kinds = [
            self.top.tokens,
            spread(self.sample, self.n_contexts),
            self.test.tokens,
            np.where(fires[:, None], self.silent.chosen(), -1),
        ]
        tokens = np.stack(of_kinds, axis=1)  # [F, kinds, contexts]
        feature, kind, rank = np.nonzero(tokens >= 0)
        token = tokens[feature, kind, rank]
        starts, stops = self._windows(token)
        columns = {"feature": feature, "kind": kind, "rank": rank + 1, "token": token, "start": starts, "stop": stops}
        edges = np.concatenate([[0], np.cumsum(stops - starts)])
        return Contexts(pd.DataFrame(columns), edges, np.zeros(edges[-1], dtype="float32"))

    def _drawn(self, stream: int, tokens: np.ndarray, features: np.ndarray) -> np.ndarray:
        return seeded_uniform(self.seed, stream, tokens, features)

    def _windows(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts, stops = self.held_out.starts[tokens], self.held_out.stops[tokens]
        return np.maximum(starts, tokens - REACH), np.minimum(stops, tokens + REACH + 1)


def _fill(contexts: Contexts, block: TokenBlock) -> None:
    """Put a block's activations into the windows that it covers, fully or partly."""
    starts, stops = (contexts.table[name].to_numpy() for name in ("start", "stop"))
    end = block.start + len(block.activations)
    rows = np.flatnonzero((starts < end) & (stops > block.start))
    low, high = np.maximum(starts[rows], block.start), np.minimum(stops[rows], end)
    row, token = _flattened(rows, low, high)
    features = contexts.table["feature"].to_numpy()[row]
    contexts.activations[contexts.edges[row] + token - starts[row]] = block.activations[token - block.start, features]


def _rows(described: FeatureContexts, texts: Mapping[int, str], first: int, last: int) -> pa.Table:
    """Return some rows of the table that is written."""
    contexts, held_out = described.contexts, described.held_out
    some = contexts.table.iloc[first:last]
    place = some["token"].to_numpy()
    starts, edges = some["start"].to_numpy(), contexts.edges[first : last + 1]
    activations = contexts.activations[edges[0] : edges[-1]]
    edges = edges - edges[0]
    _, tokens = _flattened(np.arange(len(some)), starts, some["stop"].to_numpy())
    ids, inverse = np.unique(held_out.token_ids[tokens], return_inverse=True)
    words = pa.array([texts[token] for token in ids.tolist()], pa.string()).take(pa.array(inverse))
    columns = [
        some["feature"],
        np.array(KINDS, dtype=object)[some["kind"]],
        some["rank"],
        held_out.documents[place],
        held_out.positions[place],
        activations[edges[:-1] + place - starts].astype("float64"),
        pa.ListArray.from_arrays(pa.array(edges, pa.int32()), words),
        pa.ListArray.from_arrays(pa.array(edges, pa.int32()), pa.array(activations)),
        place - starts,
    ]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip(columns, _SCHEMA, strict=True)
    ]
    return pa.table(arrays, schema=_SCHEMA)


def _flattened(rows: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each number from ``starts`` up to ``stops`` of each row, one after another, and the row that it is of."""
    lengths = stops - starts
    ends = np.cumsum(lengths)
    numbers = np.arange(int(lengths.sum())) + np.repeat(starts - ends + lengths, lengths)
    return np.repeat(rows, lengths), numbers


def _told(blocks: Iterator[TokenBlock], held_out: HeldOut, name: str) -> Iterator[TokenBlock]:
    total = len(held_out.token_ids)
    return progress(blocks, total=total, name=name, unit="token", size=lambda block: len(block.activations))
