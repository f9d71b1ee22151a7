"""Logit weights: the direct effect of each feature of a dictionary on the logit of each token.

P = W_dec · W_U,eff (see ``unembedding``), [F, V], with each feature's mean over the vocabulary taken off: a change of
all logits alike changes no probability. P is never whole in memory: it is made and summed up in blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from leakscope.features.description.unembedding import EffectiveUnembedding
from leakscope.jobs.progress import progress

FEATURES_AT_ONCE, TOKENS_AT_ONCE = 1024, 4096
PROMOTED, SUPPRESSED = "promoted", "suppressed"


class LogitWeights(NamedTuple):
    """Summary of P by feature.

    statistics: ``feature``, ``mean`` (that was taken off), ``std``, ``skewness``, ``kurtosis`` (3 for a normal law) of
        the feature's V logit weights, as of a whole population; skewness and kurtosis missing where all are equal.
    promoted: ``feature``, ``side`` (promoted or suppressed), ``rank`` from 1, ``token_id``, ``weight``.
    """

    statistics: pd.DataFrame
    promoted: pd.DataFrame


class _Extremes:
    """The largest weights of each feature so far, and their tokens; [F, k] each."""

    def __init__(self, n_features: int, k: int) -> None:
        self.weights = torch.full((n_features, k), -torch.inf)
        self.tokens = torch.zeros(n_features, k, dtype=torch.long)

    def add(self, features: slice, weights: torch.Tensor, first_token: int) -> None:
        """Take in a block of weights, [features, tokens]."""
        k = self.weights.shape[1]
        largest = weights.topk(min(k, weights.shape[1]), dim=-1)
        values = torch.cat([self.weights[features], largest.values.cpu()], -1)
        tokens = torch.cat([self.tokens[features], largest.indices.cpu() + first_token], -1)
        self.weights[features], places = values.topk(k, dim=-1)
        self.tokens[features] = tokens.gather(-1, places)


@torch.inference_mode()
def logit_weights(decoder: torch.Tensor, unembedding: EffectiveUnembedding, n_tokens: int, k: int) -> LogitWeights:
    """Return statistics and extremes of the logit weights of all features.

    Additional memory is a few blocks of ``FEATURES_AT_ONCE`` × ``TOKENS_AT_ONCE`` float32. Products are
    in float32, sums over blocks in float64.

    Args:
        decoder: [F, d], what features write.
        unembedding: of the model, of V tokens.
        n_tokens: those of the tokenizer; unembeddings may have more rows, which are no tokens.
        k: tokens kept on each side.
    """
    n_features, n_tokens = len(decoder), min(n_tokens, unembedding.n_tokens)
    k = min(k, n_tokens)
    blocks = [slice(start, min(start + TOKENS_AT_ONCE, n_tokens)) for start in range(0, n_tokens, TOKENS_AT_ONCE)]
    means = _means(decoder, unembedding, blocks)
    sums = torch.zeros(4, n_features, dtype=torch.float64)
    highest, lowest = _Extremes(n_features, k), _Extremes(n_features, k)
    for block in progress(blocks, total=len(blocks), name="logit weights", unit="block"):
        columns = unembedding.columns(block)
        for start in range(0, n_features, FEATURES_AT_ONCE):
            features = slice(start, start + FEATURES_AT_ONCE)
            weights = decoder[features].to(columns.device) @ columns
            weights -= means[features, None].to(weights)
            sums[:, features] += _power_sums(weights).cpu()
            highest.add(features, weights, block.start)
            lowest.add(features, weights.neg_(), block.start)
    sides = [(PROMOTED, highest, 1), (SUPPRESSED, lowest, -1)]
    promoted = pd.concat([_extreme_table(side, extremes, sign) for side, extremes, sign in sides])
    promoted = promoted.sort_values(["feature", "side", "rank"], ignore_index=True)
    return LogitWeights(_statistics(means.numpy(), (sums / n_tokens).numpy()), promoted)


def _means(decoder: torch.Tensor, unembedding: EffectiveUnembedding, blocks: Sequence[slice]) -> torch.Tensor:
    """Return the mean logit weight of each feature, [F], float64."""
    total = torch.zeros(decoder.shape[1], dtype=torch.float64)
    for block in blocks:
        total += unembedding.columns(block).sum(-1, dtype=torch.float64).cpu()
    mean = total / blocks[-1].stop
    starts = range(0, len(decoder), FEATURES_AT_ONCE)
    return torch.cat([decoder[start : start + FEATURES_AT_ONCE].double().cpu() @ mean for start in starts])


def _power_sums(weights: torch.Tensor) -> torch.Tensor:
    """Return the sums of a block's first four powers, [4, features], float64."""
    squares = weights * weights
    sums = [weights.sum(-1), squares.sum(-1), torch.linalg.vecdot(squares, weights), squares.square_().sum(-1)]
    return torch.stack(sums).double()


def _statistics(means: np.ndarray, moments: np.ndarray) -> pd.DataFrame:
    """Return the table of statistics.

    Args:
        means: [F], taken off.
        moments: [4, F], mean powers of what is left; its mean is all but 0, rounding of the products.
    """
    rest, second, third, fourth = moments
    variance = np.maximum(second - rest**2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = (third - 3 * rest * second + 2 * rest**3) / variance**1.5
        kurtosis = (fourth - 4 * rest * third + 6 * rest**2 * second - 3 * rest**4) / variance**2
    spread = variance > 0
    return pd.DataFrame(
        {
            "feature": np.arange(len(means)),
            "logit_mean": means + rest,
            "std": np.sqrt(variance),
            "skewness": np.where(spread, skewness, np.nan),
            "kurtosis": np.where(spread, kurtosis, np.nan),
        }
    )


def _extreme_table(side: str, extremes: _Extremes, sign: int) -> pd.DataFrame:
    """Return one side's rows; among equal weights the token with the smaller id comes first."""
    n_features, k = extremes.weights.shape
    table = pd.DataFrame(
        {
            "feature": np.repeat(np.arange(n_features), k),
            "side": side,
            "token_id": extremes.tokens.flatten().numpy(),
            "magnitude": extremes.weights.flatten().numpy(),
        }
    )
    table = table.sort_values(["feature", "magnitude", "token_id"], ascending=[True, False, True], ignore_index=True)
    ranks = np.tile(np.arange(1, k + 1), n_features)
    weights = sign * table.pop("magnitude")
    table.insert(2, "rank", ranks)
    return table.assign(weight=weights)
