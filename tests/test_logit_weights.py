from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from leakscope.features.description import logit_weights as module
from leakscope.features.description.logit_weights import LogitWeights, logit_weights
from leakscope.features.description.unembedding import EffectiveUnembedding

N_FEATURES, WIDTH, N_TOKENS, N_ROWS, K = 50, 16, 130, 137, 5


def unembedding() -> EffectiveUnembedding:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(N_ROWS, WIDTH, generator=generator) ** 3 + 0.5
    gain = 1 + torch.rand(WIDTH, generator=generator)
    zeros = torch.zeros(WIDTH), torch.zeros(N_ROWS)
    return EffectiveUnembedding(weight, gain, *zeros, centred=True, epsilon=1e-5, scale=0.7)


def decoder() -> torch.Tensor:
    rows = torch.randn(N_FEATURES, WIDTH, generator=torch.Generator().manual_seed(1))
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def direct() -> np.ndarray:
    """P by its definition, in float64."""
    end = unembedding()
    effective = end.weight.double()[:N_TOKENS] * end.gain.double() * 0.7
    effective -= effective.mean(1, keepdim=True)
    weights: np.ndarray = (decoder().double() @ effective.T).numpy()
    return weights


@pytest.fixture(params=[(1024, 4096), (50, 130), (7, 11), (1, 3)])
def found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LogitWeights:
    """What is made in blocks of several sizes."""
    torch.set_num_threads(1)
    monkeypatch.setattr(module, "FEATURES_AT_ONCE", request.param[0])
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", request.param[1])
    return logit_weights(decoder(), unembedding(), N_TOKENS, K)


def test_moments_are_those_of_a_direct_computation(found: LogitWeights, direct: np.ndarray) -> None:
    table = found.statistics
    assert list(table["feature"]) == list(range(N_FEATURES))
    expected = {
        "logit_mean": direct.mean(1),
        "std": direct.std(1),
        "skewness": stats.skew(direct, axis=1),
        "kurtosis": stats.kurtosis(direct, axis=1, fisher=False),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values, rtol=1e-4, atol=1e-4, err_msg=name)
    assert float(table["kurtosis"].max()) > 4  # far from a normal law, so that this can fail


def test_promoted_are_the_largest_and_the_smallest_weights(found: LogitWeights, direct: np.ndarray) -> None:
    centred = direct - direct.mean(1, keepdims=True)
    table = found.promoted
    assert len(table) == N_FEATURES * 2 * K
    assert list(table.columns) == ["feature", "side", "rank", "token_id", "weight"]
    for side, sign in (("promoted", -1), ("suppressed", 1)):
        rows = table[table["side"] == side]
        order = np.argsort(sign * centred, axis=1)[:, :K]
        assert np.array_equal(rows["token_id"].to_numpy().reshape(N_FEATURES, K), order)
        expected = np.take_along_axis(centred, order, 1).ravel()
        np.testing.assert_allclose(rows["weight"], expected, rtol=1e-4, atol=1e-5)
        assert list(rows["rank"]) == [1, 2, 3, 4, 5] * N_FEATURES


def test_among_equal_weights_the_smaller_id_comes_first() -> None:
    # Whole numbers, three tokens of each: their products are exact.
    order = torch.stack([torch.randperm(43, generator=torch.Generator().manual_seed(j)) for j in range(WIDTH)], 1)
    end = replace(unembedding(), weight=order.repeat_interleave(3, 0).float(), gain=torch.ones(WIDTH), centred=False)
    table = logit_weights(torch.eye(WIDTH), end, 129, 3).promoted
    firsts = table.groupby(["feature", "side"])["token_id"].agg(list)
    assert all(ids == [ids[0], ids[0] + 1, ids[0] + 2] and ids[0] % 3 == 0 for ids in firsts)


def test_a_feature_that_writes_nothing_has_no_shape() -> None:
    rows = decoder()
    rows[3] = 0
    table = logit_weights(rows, unembedding(), N_TOKENS, K).statistics.set_index("feature")
    assert table.loc[3, "std"] == 0
    assert table.loc[3, ["skewness", "kurtosis"]].isna().all()
    assert table.drop(index=3).notna().all(axis=None)


def test_no_more_tokens_are_kept_than_there_are() -> None:
    table = logit_weights(decoder(), unembedding(), 4, K).promoted
    assert set(table["token_id"]) == {0, 1, 2, 3}
    pd.testing.assert_series_equal(table["rank"], pd.Series([1, 2, 3, 4] * 2 * N_FEATURES, name="rank"))
