"""Streaming choice of tokens for many features at once."""

from __future__ import annotations

import numpy as np

from leakscope.features.description.firing import HeldOut, TokenBlock, seeded_uniform

# For each context that is kept: windows that may be silent. Of 50, a feature that fires in 19 windows of 20 is silent
# in two and a half.
POOLED = 50
FEATURES_AT_ONCE = 1024
_POOL_STREAM, _SILENT_STREAM = 4, 5


class BestTokens:
    """The k tokens of the highest score of each feature, highest first; no two of one group.

    scores: [F, k]; −inf where there are fewer.
    tokens: [F, k]; −1 there.
    values: [F, k] float32, what came with a token.
    """

    def __init__(self, n_features: int, k: int) -> None:
        self.scores = np.full((n_features, k), -np.inf)
        self.tokens = np.full((n_features, k), -1)
        self.values = np.zeros((n_features, k), dtype="float32")
        self.groups = np.full((n_features, k), -1)

    def add(
        self, features: np.ndarray, scores: np.ndarray, tokens: np.ndarray, values: np.ndarray, groups: np.ndarray
    ) -> None:
        """Take in one token for each entry of these, [n] each; of equal scores the earlier token stays."""
        chance = scores > self.scores[features, -1]
        new = [column[chance] for column in (features, scores, tokens, values, groups)]
        touched = np.unique(new[0])
        n_held = self.scores.shape[1]
        state = [np.repeat(touched, n_held)]
        state += [held[touched].ravel() for held in (self.scores, self.tokens, self.values, self.groups)]
        filled = state[2] >= 0
        columns = [np.concatenate([held[filled], added]) for held, added in zip(state, new, strict=True)]
        feature, score, token, value, group = _sorted_firsts(columns)
        # The place of each entry among the entries of its feature.
        rank = np.arange(len(feature)) - np.searchsorted(feature, feature)
        kept = rank < n_held
        self.scores[touched], self.tokens[touched], self.groups[touched] = -np.inf, -1, -1
        places = feature[kept], rank[kept]
        self.scores[places], self.tokens[places] = score[kept], token[kept]
        self.values[places], self.groups[places] = value[kept], group[kept]


class SilentWindows:
    """Windows in which features do not fire: draws a pool first, then notes where each feature fires in the pool."""

    def __init__(
        self, n_features: int, held_out: HeldOut, starts: np.ndarray, stops: np.ndarray, k: int, seed: int
    ) -> None:
        """Draw the pool from the scoring half.

        Args:
            n_features: F.
            held_out: all tokens.
            starts: [n], of the window around each token.
            stops: [n].
            k: windows for each feature.
            seed: of all that is drawn.
        """
        tokens = np.flatnonzero(held_out.scoring)
        tokens = tokens[np.argsort(seeded_uniform(seed, _POOL_STREAM, tokens, tokens), kind="stable")]
        _, firsts = np.unique(held_out.texts[tokens], return_index=True)
        self.tokens = tokens[np.sort(firsts)[: POOLED * k]]
        self.starts, self.stops = starts[self.tokens], stops[self.tokens]
        self.fires = np.zeros((len(self.tokens), n_features), dtype=bool)
        self.k, self.seed = k, seed

    def add(self, block: TokenBlock) -> None:
        """Note where features fire."""
        end = block.start + len(block.activations)
        for number in np.flatnonzero((self.starts < end) & (self.stops > block.start)):
            low, high = max(self.starts[number] - block.start, 0), self.stops[number] - block.start
            self.fires[number] |= (block.activations[low:high] > 0).any(axis=0)

    def chosen(self) -> np.ndarray:
        """Return k tokens for each feature, [F, k], in random order; −1 where there are fewer."""
        n_features = self.fires.shape[1]
        silent_tokens = np.full((n_features, self.k), -1)
        numbers = np.arange(len(self.tokens))
        for start in range(0, n_features, FEATURES_AT_ONCE):
            fires = self.fires[:, start : start + FEATURES_AT_ONCE].T
            features = np.arange(start, start + len(fires))
            drawn = seeded_uniform(
                self.seed, _SILENT_STREAM, np.repeat(features, len(numbers)), np.tile(numbers, len(features))
            )
            scores = np.where(fires, np.inf, drawn.reshape(fires.shape))
            order = np.argsort(scores, axis=1, kind="stable")[:, : self.k]
            silent = np.isfinite(np.take_along_axis(scores, order, axis=1))
            silent_tokens[start : start + len(fires), : order.shape[1]] = np.where(silent, self.tokens[order], -1)
        return silent_tokens


def spread(sample: BestTokens, k: int) -> np.ndarray:
    """Return k tokens for each feature, [F, k], at even distances from the strongest to the weakest of its sample.

    With m tokens in the sample these are the middles of k equal parts; −1 where m is smaller than k.
    """
    strength = np.where(sample.tokens >= 0, sample.values, -np.inf)
    order = np.lexsort((sample.tokens, -strength))
    m = (sample.tokens >= 0).sum(axis=1)[:, None]
    wanted = np.arange(k)[None, :]
    places = np.where(m >= k, ((wanted + 0.5) * m / k).astype("int64"), wanted)
    tokens: np.ndarray = np.take_along_axis(np.take_along_axis(sample.tokens, order, axis=1), places, axis=1)
    return np.where(places < m, tokens, -1)


def _sorted_firsts(columns: list[np.ndarray]) -> list[np.ndarray]:
    """Return entries by feature and descending score, only the best of each feature and group."""
    feature, score, token, _, group = columns
    order = np.lexsort((token, -score, group, feature))
    same = np.zeros(len(order), dtype=bool)
    same[1:] = (np.diff(feature[order]) == 0) & (np.diff(group[order]) == 0)
    columns = [column[order[~same]] for column in columns]
    feature, score, token, *_ = columns
    order = np.lexsort((token, -score, feature))
    return [column[order] for column in columns]
