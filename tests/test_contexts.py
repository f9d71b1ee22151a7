from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from leakscope.features.description import context_choice, contexts, firing
from leakscope.features.description.context_choice import BestTokens
from leakscope.features.description.contexts import REACH, FeatureContexts, read_contexts, write_contexts
from leakscope.features.description.firing import read_held_out, seeded_uniform
from leakscope.features.dictionaries.activations import Activations, write_activations
from leakscope.models.editing.dictionary import Dictionary

WIDTH, N_FEATURES, N_IDS, K, SEED = 6, 14, 23, 4, 3
DEAD, CONSTANT, RARE, ALWAYS = 0, 1, 2, 3
LENGTHS = [5, 40, 1, 77, 12, 33, 2, 60, 9, 21, 44, 8, 3, 50, 17, 90, 12, 60, 44, 77]
COPIES = {16: 4, 17: 7, 18: 10, 19: 3}  # documents with the same tokens as others


def in_64ths(values: torch.Tensor) -> torch.Tensor:
    return (values * 64).round() / 64


def tiny_dictionary() -> Dictionary:
    """Features that fire on about a third of all tokens, and four that do something else.

    In 64ths, as the residuals: so their products are exact, whatever is computed together.
    """
    generator = torch.Generator().manual_seed(0)
    encoder = in_64ths(torch.randn(WIDTH, N_FEATURES, generator=generator))
    bias = torch.full((N_FEATURES,), -1.0)
    encoder[:, [DEAD, CONSTANT, RARE, ALWAYS]] = 0.0
    encoder[0, CONSTANT] = encoder[1, RARE] = encoder[1, ALWAYS] = 1.0
    bias[DEAD], bias[CONSTANT], bias[RARE], bias[ALWAYS] = -1.0, 0.0, -2.5, 50.0
    decoder = torch.nn.functional.normalize(encoder.T, dim=1)
    return Dictionary(encoder, bias, decoder, torch.zeros(WIDTH), "relu", 0)


def tiny_shards(folder: Path) -> list[Path]:
    """Two shards of documents of unequal length, in windows of 40 tokens at most."""
    paths = []
    for shard in (0, 1):
        parts = []
        for number in range(shard, len(LENGTHS), 2):
            n, generator = LENGTHS[number], torch.Generator().manual_seed(COPIES.get(number, number))
            residuals = in_64ths(torch.randn(n, WIDTH, generator=generator))
            residuals[:, 0] = (residuals[:, 0] > 1) * 0.25  # a feature that fires with one strength alone
            token_ids = torch.randint(N_IDS, (n,), generator=generator, dtype=torch.int32)
            positions = 1 + torch.arange(n, dtype=torch.int32) % 40
            parts.append((residuals, token_ids, torch.full((n,), number, dtype=torch.int32), positions))
        paths.append(folder / f"{shard + 1}-of-2.safetensors")
        write_activations(Activations(*map(torch.cat, zip(*parts, strict=True))), paths[-1])
    return paths


class Direct:
    """Everything at once, feature by feature and token by token."""

    def __init__(self, paths: list[Path]) -> None:
        from leakscope.features.dictionaries.activations import read_activations

        shards = [read_activations(path) for path in paths]
        self.token_ids, self.documents, self.positions = (
            torch.cat([shard[i] for shard in shards]).tolist() for i in (1, 2, 3)
        )
        self.activations = tiny_dictionary().encode(torch.cat([shard.residuals for shard in shards])).numpy()
        self.n = len(self.token_ids)
        texts = [COPIES.get(document, document) for document in self.documents]
        self.texts = np.array(texts)
        self.scoring = read_held_out(paths, SEED).scoring

    def window(self, token: int) -> range:
        def together(other: int) -> bool:
            distance = other - token
            return self.documents[other] == self.documents[token] and (
                self.positions[other] == self.positions[token] + distance
            )

        near = range(max(0, token - REACH), min(self.n, token + REACH + 1))
        inside = [other for other in near if together(other)]
        return range(inside[0], inside[-1] + 1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    torch.set_num_threads(1)
    return tiny_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def direct(shards: list[Path]) -> Direct:
    return Direct(shards)


def read(paths: list[Path], monkeypatch: pytest.MonkeyPatch, tokens_at_once: int) -> FeatureContexts:
    monkeypatch.setattr(firing, "ACTIVATIONS_AT_ONCE", tokens_at_once * N_FEATURES)
    monkeypatch.setattr(firing, "PAIRS_AT_ONCE", 50)
    monkeypatch.setattr(context_choice, "FEATURES_AT_ONCE", 5)
    monkeypatch.setattr(contexts, "SAMPLED", 2)
    monkeypatch.setattr(contexts, "FEATURES_AT_ONCE", 5)
    return read_contexts(tiny_dictionary(), paths, K, SEED, "tiny")


def written(found: FeatureContexts, path: Path) -> pd.DataFrame:
    write_contexts(found, {token: f" t{token}" for token in range(N_IDS)}, path)
    return pd.read_parquet(path)


@pytest.fixture(scope="module", params=[7, 1000])
def found(request: pytest.FixtureRequest, shards: list[Path]) -> Any:
    """What is found in blocks that end inside of windows, and in one block a shard."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return read(shards, monkeypatch, request.param)


@pytest.fixture(scope="module")
def table(found: FeatureContexts, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(contexts, "FEATURES_AT_ONCE", 5)
        return written(found, tmp_path_factory.mktemp("written") / "contexts.parquet")


def test_firing_is_counted_as_by_definition(found: FeatureContexts, direct: Direct) -> None:
    for feature, row in found.firing.iterrows():
        values = direct.activations[:, feature].astype("float64")
        active = values[values > 0]
        assert row["feature"] == feature
        assert row["n_tokens"] == direct.n
        assert row["n_firing"] == len(active)
        assert row["firing_rate"] == len(active) / direct.n
        assert row["maximum"] == values.max()
        assert row["mean"] == pytest.approx(values.mean())
        if not len(active):
            continue
        masses = np.bincount(direct.token_ids, values)
        entropy = stats.entropy(masses)
        assert row["log10_rate"] == pytest.approx(math.log10(len(active) / direct.n))
        assert row["mean_active"] == pytest.approx(active.mean())
        assert row["entropy_nats"] == pytest.approx(entropy)
        assert row["effective_tokens"] == pytest.approx(math.exp(entropy))
        assert list(row["histogram"]) == list(np.histogram(active, 20, (0, values.max()))[0])
        if feature != CONSTANT:
            assert row["activation_kurtosis"] == pytest.approx(stats.kurtosis(active, fisher=False))


def test_features_that_fire_nowhere_or_always_alike_lack_what_they_have_not(found: FeatureContexts) -> None:
    dead, constant = found.firing.loc[DEAD], found.firing.loc[CONSTANT]
    assert dead["dead"]
    assert list(found.firing["dead"]).count(True) == 1
    assert (dead["log10_rate"], dead["maximum"], dead["n_firing"]) == (-10, 0, 0)
    assert dead[["mean_active", "activation_kurtosis", "entropy_nats", "effective_tokens"]].isna().all()
    assert sum(dead["histogram"]) == 0
    assert math.isnan(constant["activation_kurtosis"])
    assert constant["n_firing"] > 20


def test_tokens_are_counted_by_half(found: FeatureContexts, direct: Direct) -> None:
    expected: dict[tuple[int, str, int], list[float]] = {}
    for token, feature in np.argwhere(direct.activations > 0):
        half = "scoring" if direct.scoring[token] else "explaining"
        expected.setdefault((feature, half, direct.token_ids[token]), []).append(direct.activations[token, feature])
    rows = found.token_counts.set_index(["feature", "half", "token_id"])
    assert rows.index.is_unique
    assert set(rows.index) == set(expected)
    for key, values in expected.items():
        assert rows.loc[key, "n_firing"] == len(values)
        assert rows.loc[key, "mass"] == pytest.approx(sum(map(float, values)))
    tokens = found.tokens.set_index(["token_id", "half"])
    assert tokens["n"].sum() == direct.n
    for token_id in range(N_IDS):
        places = [t for t in range(direct.n) if direct.token_ids[t] == token_id and not direct.scoring[t]]
        assert tokens.loc[(token_id, "explaining"), "n"] == len(places)
        assert tokens.loc[(token_id, "explaining"), "n_documents"] == len({direct.documents[t] for t in places})


def places_of(found: FeatureContexts, feature: int, kind: int) -> list[int]:
    rows = found.contexts.table
    return list(rows.loc[(rows["feature"] == feature) & (rows["kind"] == kind), "token"])


def test_top_is_where_a_feature_fires_most_once_a_text(found: FeatureContexts, direct: Direct) -> None:
    n_left_out = 0
    for feature in range(N_FEATURES):
        values = direct.activations[:, feature]
        order = sorted(
            (t for t in range(direct.n) if values[t] > 0 and not direct.scoring[t]), key=lambda t: -values[t]
        )
        firsts = list({direct.texts[t]: t for t in reversed(order)}.values())
        expected = sorted(firsts, key=lambda t: (-values[t], t))[:K]
        assert places_of(found, feature, 0) == expected
        n_left_out += expected != order[:K]
    assert n_left_out > 5


def test_quantiles_are_spread_over_all_strengths(found: FeatureContexts, direct: Direct) -> None:
    n_sampled = 0
    for feature in range(N_FEATURES):
        values = direct.activations[:, feature]
        firing_tokens = [t for t in range(direct.n) if values[t] > 0 and not direct.scoring[t]]
        places = places_of(found, feature, 1)
        assert set(places) <= set(firing_tokens)
        assert list(values[places]) == sorted(values[places], reverse=True)
        drawn = seeded_uniform(SEED, 2, np.array(firing_tokens, "int64"), np.full(len(firing_tokens), feature))
        in_order = [firing_tokens[i] for i in np.argsort(-drawn)]
        sample = list({direct.texts[t]: t for t in reversed(in_order)}.values())
        sample = sorted(sample, key=in_order.index)[: 2 * K]
        sample.sort(key=lambda t: (-values[t], t))
        assert len(places) == min(K, len(sample))
        if len(sample) >= K:
            assert places == [sample[int((i + 0.5) * len(sample) / K)] for i in range(K)]
            n_sampled += len(sample) == 2 * K
    assert n_sampled > 5


def test_contexts_for_tests_fire_or_do_not_in_the_other_half(found: FeatureContexts, direct: Direct) -> None:
    tokens = np.flatnonzero(direct.scoring)
    drawn = tokens[np.argsort(seeded_uniform(SEED, 4, tokens, tokens))]
    pool = list({direct.texts[t]: t for t in reversed(drawn)}.values())
    for feature in range(N_FEATURES):
        values = direct.activations[:, feature]
        firing_texts = set(direct.texts[(values > 0) & direct.scoring])
        fires, silent = places_of(found, feature, 2), places_of(found, feature, 3)
        for places in (fires, silent):
            assert len(set(direct.texts[places])) == len(places)
            assert all(direct.scoring[places])
        assert len(fires) == min(K, len(firing_texts))
        assert all(values[fires] > 0)
        never = [t for t in pool if not values[list(direct.window(t))].any()]
        assert set(silent) <= set(never)
        assert len(silent) == (0 if feature == DEAD else min(K, len(never)))
    assert not places_of(found, ALWAYS, 3)
    assert len(places_of(found, RARE, 3)) == K
    assert places_of(found, RARE, 3) != places_of(found, CONSTANT, 3)


def test_a_written_context_is_its_window(found: FeatureContexts, table: pd.DataFrame, direct: Direct) -> None:
    assert len(table) == len(found.contexts.table) > 100
    assert table["kind"].unique().tolist() == ["top", "quantile", "test_firing", "test_silent"]
    for row, token in zip(table.to_dict("records"), found.contexts.table["token"], strict=True):
        window = direct.window(token)
        assert list(row["tokens"]) == [f" t{direct.token_ids[t]}" for t in window]
        assert list(row["activations"]) == list(direct.activations[list(window), row["feature"]])
        assert window[row["peak"]] == token
        assert (row["document"], row["position"]) == (direct.documents[token], direct.positions[token])
        assert row["activation"] == direct.activations[token, row["feature"]]
    assert max(map(len, table["tokens"])) == 2 * REACH + 1
    assert list(table.groupby(["feature", "kind"], sort=False)["rank"].agg(list).iloc[0]) == [1, 2, 3, 4]


def test_the_same_comes_out_however_many_tokens_pass_at_once(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some, all_at_once = (read(shards, monkeypatch, size) for size in (7, 1000))
    pd.testing.assert_frame_equal(some.firing, all_at_once.firing)
    pd.testing.assert_frame_equal(some.token_counts, all_at_once.token_counts)
    pd.testing.assert_frame_equal(some.contexts.table, all_at_once.contexts.table)
    again = read(shards, monkeypatch, 7)
    written(some, tmp_path / "some"), written(again, tmp_path / "again")
    assert (tmp_path / "some").read_bytes() == (tmp_path / "again").read_bytes()


def test_halves_share_no_text_and_depend_on_the_seed(shards: list[Path], direct: Direct) -> None:
    halves = [read_held_out(shards, seed).scoring for seed in (1, 2)]
    assert not np.array_equal(*halves)
    for scoring in halves:
        assert set(pd.Series(scoring).groupby(direct.texts).nunique()) == {1}
        of_text = pd.Series(scoring).groupby(direct.texts).first()
        assert of_text.sum() == len(of_text) // 2 == 8


def test_drawn_numbers_are_uniform_and_differ() -> None:
    first, second = (column.ravel() for column in np.mgrid[:200, :50])
    drawn = [seeded_uniform(seed, stream, first, second) for seed, stream in ((0, 1), (0, 2), (1, 1))]
    for numbers in drawn:
        assert stats.kstest(numbers, "uniform").pvalue > 1e-3
        assert len(set(numbers)) == len(numbers)
        assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.05
    assert abs(np.corrcoef(drawn)[np.triu_indices(3, 1)]).max() < 0.05


def test_of_equal_scores_the_earlier_token_stays() -> None:
    for batches in ([[0, 1, 2, 3]], [[0, 1], [2, 3]], [[3], [2], [1], [0]]):
        best = BestTokens(2, 2)
        for tokens in map(np.array, batches):
            ones = np.ones(len(tokens))
            best.add(np.ones(len(tokens), "int64"), ones, tokens, ones.astype("float32"), tokens)
        assert set(best.tokens[1]) <= {0, 1, 2, 3}
        assert best.tokens.tolist()[0] == [-1, -1]
        if batches[0][0] == 0:
            assert best.tokens.tolist()[1] == [0, 1]
