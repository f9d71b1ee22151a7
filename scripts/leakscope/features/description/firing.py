"""Firing of features: how often, how strongly and on which tokens, on texts that a dictionary was not trained on.

A feature fires on a token where its activation is above 0. A hash divides documents into two halves: one for
explanations, one for scoring them. Documents with the same tokens, frequent in small grammars, are in one half.
Activations of all features are computed some tokens at a time and never stored; a second pass computes them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch

from leakscope.features.dictionaries.activations import activation_batches, read_tokens

if TYPE_CHECKING:
    from leakscope.models.editing.dictionary import Dictionary

EXPLAINING, SCORING = "explaining", "scoring"
HALVES = (EXPLAINING, SCORING)
N_BINS = 20
RATE_FLOOR, DEAD_BELOW = 1e-10, -9.0
# Activations that are in memory at once, 64 MB; pairs of feature and token that are gathered before they are added up.
ACTIVATIONS_AT_ONCE, PAIRS_AT_ONCE = 2**24, 2**21
_HALF_STREAM = 1

Integers = np.ndarray
Floats = np.ndarray


class HeldOut(NamedTuple):
    """The n tokens of a held-out part.

    token_ids, documents, positions: [n]; see ``activations.Activations``.
    starts, stops: [n], where in these the token's window begins and ends.
    texts: [n], a number that documents of the same tokens share.
    scoring: [n], whether the token's document is in the half by which explanations are scored.
    """

    token_ids: Integers
    documents: Integers
    positions: Integers
    starts: Integers
    stops: Integers
    texts: Integers
    scoring: np.ndarray


class TokenBlock(NamedTuple):
    """Activations of some tokens that follow each other.

    start: place of the first among all tokens.
    activations: [tokens, F] float32.
    tokens, features, values: where features fire, [firing] each; places among all tokens.
    """

    start: int
    activations: Floats
    tokens: Integers
    features: Integers
    values: Floats


def read_held_out(paths: Sequence[Path], seed: int) -> HeldOut:
    """Return the tokens of shards.

    Args:
        paths: of the shards.
        seed: decides which documents are in which half.

    Raises:
        InputError: see ``activations.read_tokens``.
    """
    read = read_tokens(paths)
    token_ids, documents, positions = (column.numpy().astype("int64") for column in read[1:])
    begins = np.append(True, documents[1:] != documents[:-1])
    texts = _texts(token_ids, np.flatnonzero(begins))
    begins[1:] |= positions[1:] != positions[:-1] + 1
    edges = np.append(np.flatnonzero(begins), len(documents))
    window = begins.cumsum() - 1
    # Every second text in a random order: neither half is empty where there are two.
    numbers = np.arange(texts.max() + 1)
    in_scoring = np.zeros(len(numbers), dtype=bool)
    in_scoring[np.argsort(seeded_uniform(seed, _HALF_STREAM, numbers, numbers), kind="stable")[1::2]] = True
    return HeldOut(token_ids, documents, positions, edges[window], edges[window + 1], texts, in_scoring[texts])


@torch.inference_mode()
def firing_blocks(dictionary: Dictionary, paths: Sequence[Path]) -> Iterator[TokenBlock]:
    """Yield the activations of all tokens of shards, some at a time.

    Args:
        dictionary: with ``encode`` and ``n_features``.
        paths: of the shards.

    Raises:
        InputError: see ``activations.activation_batches``.
    """
    start = 0
    for batch in activation_batches(paths, max(1, ACTIVATIONS_AT_ONCE // dictionary.n_features)):
        activations = dictionary.encode(batch.residuals)
        rows, features = activations.nonzero(as_tuple=True)
        values = activations[rows, features].numpy()
        yield TokenBlock(start, activations.numpy(), rows.numpy() + start, features.numpy(), values)
        start += len(activations)


def seeded_uniform(seed: int, stream: int, first: Integers, second: Integers) -> Floats:
    """Return a number from 0 to 1 for each pair of two, [n] float64, which depends on nothing else.

    The finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"), once for
    each part; so that a random choice of many things needs no order in which they come.
    """
    mixed = np.full(len(first), seed, dtype="uint64")
    for part in (np.full(len(first), stream), first, second):
        mixed = (mixed ^ part.astype("uint64")) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype("float64") / 2.0**53


class FiringCounts:
    """Sums by feature: the first pass adds sums that need no other statistic, the second pass the rest."""

    def __init__(self, n_features: int, held_out: HeldOut) -> None:
        self.n_features, self.held_out = n_features, held_out
        self.n_firing = np.zeros(n_features, dtype="int64")
        self.mass, self.maximum = np.zeros(n_features), np.zeros(n_features, dtype="float32")
        self.pairs = _Pairs()
        self.powers = np.zeros((2, n_features))
        self.histogram = np.zeros(n_features * N_BINS, dtype="int64")

    def add(self, block: TokenBlock) -> None:
        """Take in a block of the first pass."""
        self.n_firing += self._sum(block)
        self.mass += self._sum(block, block.values)
        np.maximum(self.maximum, block.activations.max(axis=0), out=self.maximum)
        token_ids, scoring = self.held_out.token_ids[block.tokens], self.held_out.scoring[block.tokens]
        self.pairs.add((block.features * 2 + scoring) * self._n_ids + token_ids, block.values)

    def add_again(self, block: TokenBlock) -> None:
        """Take in a block of the second pass, after all of the first."""
        distance = block.values - self._mean_active()[block.features]
        self.powers += [self._sum(block, distance**2), self._sum(block, distance**4)]
        scaled = block.values.astype("float64") / self.maximum[block.features] * N_BINS
        bins = np.minimum(scaled.astype("int64"), N_BINS - 1)
        self.histogram += np.bincount(block.features * N_BINS + bins, minlength=len(self.histogram))

    def firing(self) -> pd.DataFrame:
        """Return a row a feature.

        ``feature, n_tokens, n_firing, firing_rate``; ``log10_rate``, at least −10; ``dead``: below −9; ``maximum``;
        ``mean_active`` over tokens on which it fires; ``mean`` over all; ``activation_kurtosis`` (3 for a normal law)
        over tokens on which it fires; ``entropy_nats`` of the shares that distinct tokens have of the sum of its
        activations, and its exponential ``effective_tokens``; ``histogram``, 20 counts of firing tokens from 0 to the
        maximum. Undefined values of features that never fire, or always fire with equal strength, are missing.
        """
        n_tokens = len(self.held_out.token_ids)
        rate = self.n_firing / n_tokens
        log10_rate = np.log10(np.maximum(rate, RATE_FLOOR))
        entropy = self._entropy()
        return pd.DataFrame(
            {
                "feature": np.arange(self.n_features),
                "n_tokens": n_tokens,
                "n_firing": self.n_firing,
                "firing_rate": rate,
                "log10_rate": log10_rate,
                "dead": log10_rate < DEAD_BELOW,
                "maximum": self.maximum.astype("float64"),
                "mean_active": self._mean_active(),
                "mean": self.mass / n_tokens,
                "activation_kurtosis": self._kurtosis(),
                "entropy_nats": entropy,
                "effective_tokens": np.exp(entropy),
                "histogram": list(self.histogram.reshape(-1, N_BINS)),
            }
        )

    def token_counts(self) -> pd.DataFrame:
        """Return ``feature, half, token_id, n_firing, mass``, the sum of activations, where a feature fires at all."""
        keys, counts, mass = self.pairs.total()
        owner, token_ids = np.divmod(keys, self._n_ids)
        return pd.DataFrame(
            {
                "feature": owner // 2,
                "half": _names_of_halves(owner % 2),
                "token_id": token_ids,
                "n_firing": counts,
                "mass": mass,
            }
        )

    @property
    def _n_ids(self) -> int:
        return int(self.held_out.token_ids.max()) + 1

    def _sum(self, block: TokenBlock, weights: Floats | None = None) -> np.ndarray:
        return np.bincount(block.features, weights, minlength=self.n_features)

    def _mean_active(self) -> Floats:
        with np.errstate(invalid="ignore"):
            return self.mass / np.where(self.n_firing > 0, self.n_firing, np.nan)

    def _kurtosis(self) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            second, fourth = self.powers / self.n_firing
            # Equal activations differ from their mean by its rounding.
            return np.where(second > (1e-10 * self._mean_active()) ** 2, fourth / second**2, np.nan)

    def _entropy(self) -> Floats:
        keys, _, mass = self.pairs.total()
        owner, token_ids = np.divmod(keys, self._n_ids)
        both, inverse = np.unique(owner // 2 * self._n_ids + token_ids, return_inverse=True)
        feature = both // self._n_ids
        share = np.bincount(inverse, mass, minlength=len(both)) / self.mass[feature]
        entropy = np.bincount(feature, -share * np.log(share), minlength=self.n_features)
        return np.where(self.n_firing > 0, np.maximum(entropy, 0.0), np.nan)


def _texts(token_ids: Integers, begins: Integers) -> Integers:
    """Return the number of each token's text, [n]: documents that begin at these places are alike by their tokens."""
    numbers: dict[bytes, int] = {}
    lengths = np.diff(np.append(begins, len(token_ids)))
    of_document = [
        numbers.setdefault(token_ids[begin : begin + length].tobytes(), len(numbers))
        for begin, length in zip(begins, lengths, strict=True)
    ]
    return np.repeat(np.array(of_document, dtype="int64"), lengths)


class _Pairs:
    """Counts and sums by key; memory grows only with the number of different keys."""

    def __init__(self) -> None:
        self.keys: Integers = np.zeros(0, dtype="int64")
        self.counts: Integers = np.zeros(0, dtype="int64")
        self.sums: Floats = np.zeros(0)
        self.pending: list[tuple[Integers, Integers, Floats]] = []
        self.n_pending = 0

    def add(self, keys: Integers, values: Floats) -> None:
        """Take in a value for each of some keys."""
        distinct, inverse = np.unique(keys, return_inverse=True)
        n = len(distinct)
        self.pending.append((distinct, np.bincount(inverse, minlength=n), np.bincount(inverse, values, minlength=n)))
        self.n_pending += n
        if self.n_pending > max(PAIRS_AT_ONCE, len(self.keys)):
            self.total()

    def total(self) -> tuple[Integers, Integers, Floats]:
        """Return all keys, sorted, how many values each had, and their sum."""
        if self.pending:
            parts = [(self.keys, self.counts, self.sums), *self.pending]
            keys, counts, sums = (np.concatenate(columns) for columns in zip(*parts, strict=True))
            self.keys, inverse = np.unique(keys, return_inverse=True)
            n = len(self.keys)
            # Sums of counts are exact in float64.
            self.counts = np.bincount(inverse, counts, minlength=n).astype("int64")
            self.sums = np.bincount(inverse, sums, minlength=n)
            self.pending, self.n_pending = [], 0
        return self.keys, self.counts, self.sums


def token_frequencies(held_out: HeldOut) -> pd.DataFrame:
    """Return ``token_id, half, n`` (occurrences), ``n_documents`` of the tokens of each half."""
    table = pd.DataFrame(
        {
            "token_id": held_out.token_ids,
            "half": held_out.scoring.astype("int64"),
            "document": held_out.documents,
        }
    )
    by_half = table.groupby(["token_id", "half"])["document"].agg(n="size", n_documents="nunique").reset_index()
    return by_half.assign(half=_names_of_halves(by_half["half"].to_numpy()))


def _names_of_halves(codes: Integers) -> pd.Series:
    return pd.Series(np.array(HALVES, dtype=object)[codes], dtype="str")
