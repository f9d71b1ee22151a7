"""Training of dictionaries: gradients against autograd, order of tokens, features that are there to be found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from leakscope.errors import InputError
from leakscope.features.dictionaries.training import (
    AUXILIARY,
    Parameters,
    TrainedDictionary,
    TrainingSettings,
    _first_parameters,
    shuffled_batches,
    take_step,
    train_dictionary,
)
from leakscope.models.editing.dictionary_files import load_dictionary, save_dictionary
from test_dictionary import shard

WIDTH, N_TRUE = 16, 24
SETTINGS = TrainingSettings(features=48, k=3, steps=400, batch_size=256, learning_rate=0.003)


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


def directions() -> torch.Tensor:
    drawn = torch.randn(N_TRUE, WIDTH, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(drawn, dim=-1)


def written(folder: Path, scale: float = 1.0) -> list[Path]:
    """Write residuals that are sums of few of the directions, and a mean."""
    generator = torch.Generator().manual_seed(1)
    paths = []
    for name in ("1-of-2", "2-of-2"):
        present = torch.rand(4000, N_TRUE, generator=generator) < 0.08
        strength = present * (1 + torch.rand(4000, N_TRUE, generator=generator))
        paths.append(shard(folder / f"{name}.safetensors", scale * (strength @ directions() + 2)))
    return paths


def train(paths: Sequence[Path], settings: TrainingSettings = SETTINGS, seed: int = 0) -> TrainedDictionary:
    return train_dictionary(paths, settings, seed, layer=1, metadata={"model_name": "small"}, name="d")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written(tmp_path_factory.mktemp("activations"))


@pytest.fixture(scope="module")
def trained(paths: list[Path]) -> TrainedDictionary:
    torch.set_num_threads(1)
    return train(paths)


def largest(before: torch.Tensor, k: int) -> torch.Tensor:
    values, places = before.topk(k, dim=-1)
    return torch.zeros_like(before).scatter(-1, places, values.relu())


@pytest.mark.parametrize("dead", [[], [1, 5, 7, 11, 20], [3]])
def test_gradients_are_those_of_the_loss(dead: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((8, 24), (24,), (24, 8), (8,))
    drawn = [torch.randn(shape, generator=generator).double().requires_grad_() for shape in shapes]
    parameters = Parameters(*drawn)
    inputs = torch.randn(16, 8, generator=generator).double()
    step = take_step(parameters, inputs, 3, torch.tensor(dead, dtype=torch.long))
    centred = inputs - parameters.decoder_bias
    before = centred @ parameters.encoder + parameters.encoder_bias
    activations = largest(before, 3)
    error = activations @ parameters.decoder - centred
    loss = error.square().mean()
    assert step.loss == pytest.approx(loss.item())
    assert step.fired.tolist() == (activations > 0).any(0).tolist()
    if dead:
        # What the others leave is given to the dead ones, and no gradient of that comes back to the others.
        left = -error.detach()
        decoder = parameters.decoder[dead]
        rebuilt = largest(before[:, dead], min(4, len(dead))) @ decoder
        loss = loss + AUXILIARY * (rebuilt - left).square().mean() / left.square().mean()
    for expected, found in zip(torch.autograd.grad(loss, parameters), step.gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_every_token_comes_as_often_as_any_other(tmp_path: Path) -> None:
    rows = torch.arange(100.0)[:, None].expand(-1, 3)
    paths = [shard(tmp_path / f"{n}.safetensors", rows[n * 50 : n * 50 + 50]) for n in (0, 1)]
    batches = list(islice(shuffled_batches(paths, 10, torch.Generator().manual_seed(0)), 30))
    assert all(batch.shape == (10, 3) for batch in batches)
    tokens = torch.cat([batch[:, 0] for batch in batches])
    # Of 300, three rounds of all; some are still to come then, and of the fourth round some came.
    counts = torch.bincount(tokens.long(), minlength=100)
    assert (int(counts.min()), int(counts.max())) >= (1, 3)
    assert int(counts.max()) <= 4
    assert sum(count != 3 for count in counts.tolist()) < 40
    assert sorted(tokens[:25].tolist()) != tokens[:25].tolist()
    # Shards are mixed.
    assert any(0 < float((batch[:, 0] < 50).float().mean()) < 1 for batch in batches)
    again = islice(shuffled_batches(paths, 10, torch.Generator().manual_seed(0)), 30)
    assert all(torch.equal(one, other) for one, other in zip(batches, again, strict=True))


def test_a_batch_may_be_larger_than_all_there_is(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.safetensors", torch.randn(7, 3, generator=torch.Generator().manual_seed(0)))
    batches = list(islice(shuffled_batches([path], 20, torch.Generator().manual_seed(0)), 3))
    assert [batch.shape for batch in batches] == [(20, 3)] * 3


def test_the_directions_that_residuals_are_made_of_are_found(trained: TrainedDictionary) -> None:
    cosines = (directions() @ trained.dictionary.decoder.T).max(dim=-1).values
    assert float((cosines > 0.9).float().mean()) > 0.9
    assert trained.record["variance_unexplained"] < 0.15
    assert trained.record["dead_share"] < 0.5
    losses = [loss for _, loss in trained.record["losses"]]
    assert len(losses) == 100
    assert losses[-1] < losses[0] / 4
    assert trained.record["losses"][-1][0] == SETTINGS.steps
    torch.testing.assert_close(trained.dictionary.decoder.norm(dim=-1), torch.ones(SETTINGS.features))


def test_equal_training_gives_equal_files(trained: TrainedDictionary, paths: list[Path], tmp_path: Path) -> None:
    quick = SETTINGS._replace(steps=30)
    for name in ("one", "two"):
        found = train(paths, quick)
        save_dictionary(found.dictionary, tmp_path / name, firing_rates=found.reconstruction.firing_rates)
    names = ("sae_weights.safetensors", "cfg.json", "sparsity.safetensors")
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in names)
    assert not torch.equal(train(paths, quick, seed=1).dictionary.decoder, found.dictionary.decoder)
    loaded = load_dictionary(tmp_path / "one")
    assert (loaded.activation, loaded.k, loaded.layer, loaded.metadata["model_name"]) == ("topk", 3, 1, "small")


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_the_scale_of_residuals_does_not_matter(
    trained: TrainedDictionary, paths: list[Path], tmp_path: Path, scale: float
) -> None:
    quick = SETTINGS._replace(steps=60)
    plain, scaled = train(paths, quick), train(written(tmp_path, scale), quick)
    assert scaled.record["variance_unexplained"] == pytest.approx(plain.record["variance_unexplained"], rel=0.05)


def test_dead_features_are_revived_where_they_are_needed(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def half_dead(*arguments: Any) -> Parameters:
        """Return first parameters whose second half is never among the largest."""
        first = _first_parameters(*arguments)
        first.encoder[:, 16:] *= 0.01
        return first

    monkeypatch.setattr("leakscope.features.dictionaries.training._first_parameters", half_dead)
    scarce = SETTINGS._replace(features=32)
    revived = train(paths, scarce).record
    monkeypatch.setattr("leakscope.features.dictionaries.training.DEAD_AFTER", 1.0)
    left_dead = train(paths, scarce).record
    assert revived["dead_share"] < left_dead["dead_share"] - 0.1
    assert revived["variance_unexplained"] < 0.7 * left_dead["variance_unexplained"]


def test_what_cannot_be_trained_is_one_line(tmp_path: Path, paths: list[Path]) -> None:
    same = [shard(tmp_path / "same.safetensors", torch.full((50, 4), 3.0))]
    with pytest.raises(InputError, match="dictionary d: got residuals that are the same at all tokens"):
        train(same)
    with pytest.raises(InputError, match="dictionary d: k: got 49; allowed: 1 to 48"):
        train(paths, SETTINGS._replace(k=49))
    broken = [shard(tmp_path / "broken.safetensors", torch.full((50, 4), torch.inf))]
    with pytest.raises(InputError, match="values that are not finite"):
        train(broken)
