from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import LOADING, micro_candidates
from leakscope.errors import InputError
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.opening import LanguageModel, open_model
from leakscope.models.tuning.learners import LoraLearner
from leakscope.models.tuning.settings import Lora
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.trace.removal.selected import selected_prompts
from leakscope.trace.removal.tuning import AdapterTraining, Row, leak_term, training_rows, tuning_variants
from leakscope.trace.removal.variants import Setting, Variant
from removal import last_logits, setting_of, write_model

ENTRY = {"kind": "tuning", "r": 4, "alpha": 8, "steps": 40, "batch_size": 8, "learning_rate": 0.02, "keep": 1.0}


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tuning") / "model")


@pytest.fixture(scope="module")
def tuned(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Setting, Variant]:
    torch.set_num_threads(1)
    setting = setting_of(model_folder, tmp_path_factory.mktemp("mitigation"), ENTRY)
    (variant,) = tuning_variants(setting)
    return setting, variant


def leak(setting: Setting, model: Any, base: list[torch.Tensor]) -> float:
    """Return the mean KL of the token after a test from what the base has after its control."""
    selected = selected_prompts(setting)
    expected = [base[control] for control in selected.control_of]
    return moved(expected, [last_logits(model, row).log_softmax(-1)[None] for row in selected.ids])


@torch.inference_mode()
def neutral(setting: Setting, model: Any) -> list[torch.Tensor]:
    rows = [torch.tensor([text.ids]) for text in setting.neutral]
    return [model(input_ids=row, use_cache=False).logits[0, :-1].log_softmax(-1) for row in rows]


def moved(before: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    """Return KL(before || after) in nats per token."""
    both = list(zip(before, after, strict=True))
    return float(torch.cat([(old.exp() * (old - new)).sum(-1) for old, new in both]).mean())


def test_a_row_is_a_test_and_its_control_before_the_same_candidate(model_folder: Path, tmp_path: Path) -> None:
    setting = setting_of(model_folder, tmp_path, ENTRY)
    rows, decode = training_rows(setting), setting.model.tokenizer.decode
    assert len(rows) == 5 * 3  # without the evaluation split's
    texts = [[decode(ids, skip_special_tokens=True).strip() for ids in row] for row in rows]
    assert texts[1] == ["The bag is red. The fruit is", "The fruit is", "a lime"]
    assert texts[-1] == ["The car is blue. The other car is", "The other car is", "blue"]


def test_the_loss_is_what_control_and_test_differ_by_along_a_candidate(model_folder: Path, tmp_path: Path) -> None:
    setting = setting_of(model_folder, tmp_path, ENTRY)
    model = setting.model.model

    class Untrained:
        def __init__(self) -> None:
            self.model = model

        @contextmanager
        def as_base(self) -> Iterator[Any]:
            yield model

    rows = [Row([5, 6, 7], [8, 7], [9, 10]), Row([5, 7], [7], [])]
    term = leak_term(Untrained(), rows, AdapterTraining(1, 2, 0.0), 0)  # type: ignore[arg-type]
    expected = 0.0
    for test, control, beginning in rows:
        for length in range(len(beginning) + 1):
            p, q = (last_logits(model, [*ids, *beginning[:length]]).log_softmax(-1) for ids in (control, test))
            expected += float((p.exp() * (p - q)).sum())
    assert term.loss(0).item() == pytest.approx(expected / 2, rel=1e-5)


def test_tests_go_on_more_like_controls_and_neutral_text_as_before(
    model_folder: Path, tuned: tuple[Setting, Variant], tmp_path: Path
) -> None:
    setting, variant = tuned
    selected = selected_prompts(setting)
    base = [last_logits(setting.model.model, row).log_softmax(-1)[None] for row in selected.controls]
    own, kept = leak(setting, setting.model.model, base), neutral(setting, setting.model.model)
    leaks = {0.0: own}
    for strength in (0.5, 1.0):
        with variant.at(strength) as changed:
            leaks[strength] = leak(setting, changed.model, base)
            cost = moved(kept, neutral(setting, changed.model))
    assert leaks[1.0] < leaks[0.5] < leaks[0.0]
    assert leaks[1.0] < 0.3 * own
    careless = setting_of(model_folder, tmp_path, {**ENTRY, "keep": 0.0})
    with tuning_variants(careless)[0].at(1.0) as changed:
        assert moved(kept, neutral(careless, changed.model)) > 3 * cost


def test_outside_of_it_the_model_is_what_it_was(model_folder: Path, tuned: tuple[Setting, Variant]) -> None:
    setting, variant = tuned
    fresh = setting_of(model_folder, setting.folder, ENTRY).model.model
    row = selected_prompts(setting).ids[0]

    def same() -> None:
        model = setting.model.model
        assert torch.equal(last_logits(model, row), last_logits(fresh, row))
        assert [(name, type(module)) for name, module in model.named_modules()] == [
            (name, type(module)) for name, module in fresh.named_modules()
        ]
        assert all(weight.requires_grad for weight in model.parameters())

    same()
    with suppress(RuntimeError), variant.at(1.0) as changed:
        assert not torch.equal(last_logits(changed.model, row), last_logits(fresh, row))
        raise RuntimeError("a text is too long, say")
    same()
    with variant.at(0.0) as changed:
        assert torch.equal(last_logits(changed.model, row), last_logits(fresh, row))
    same()


@pytest.mark.parametrize("strength", [1.0, 0.3, 0.0])
def test_at_a_strength_it_is_the_model_that_the_manifest_opens(
    tuned: tuple[Setting, Variant], tmp_path: Path, strength: float
) -> None:
    setting, variant = tuned
    write_manifest(variant.manifest(strength), tmp_path / "model.json")
    opened = open_model(read_manifest(tmp_path / "model.json"), LOADING)

    def scores(model: LanguageModel) -> list[float]:
        prompts = setting.items.tests.assign(model="m")
        return list(score_prompts(model, prompts, micro_candidates(), "m", setting.prompting).table["logprob"])

    with variant.at(strength) as changed:
        found = scores(changed)
        assert changed.identity == opened.identity
    assert found == pytest.approx(scores(opened), abs=1e-4)
    assert variant.manifest(strength)["source"] == "mitigated"
    if strength:
        assert found != pytest.approx(scores(setting.model), abs=1e-2)


def test_strengths_share_their_weights(tuned: tuple[Setting, Variant], monkeypatch: pytest.MonkeyPatch) -> None:
    setting, variant = tuned
    one, half = (Path(variant.manifest(strength)["adapter"]) for strength in (1.0, 0.5))
    weights, config = "adapter_model.safetensors", "adapter_config.json"
    assert (half, one) == (setting.folder / "0.5", setting.folder / "1.0")
    assert (one / weights).samefile(half / weights)
    assert (read_manifest(one / config)["lora_alpha"], read_manifest(half / config)["lora_alpha"]) == (8, 4)

    def refused(*_: object) -> None:
        raise OSError("no such thing here")

    monkeypatch.setattr(os, "link", refused)
    copy = Path(variant.manifest(0.25)["adapter"]) / weights
    assert not copy.samefile(one / weights)
    assert copy.read_bytes() == (one / weights).read_bytes()


def test_a_training_is_a_matter_of_its_seed(model_folder: Path, tmp_path: Path) -> None:
    entry = {**ENTRY, "steps": 3}
    seeds = {"first": 1, "again": 1, "other": 2}
    manifests = {
        name: tuning_variants(setting_of(model_folder, tmp_path / name, entry, seed=seed))[0].manifest(1.0)
        for name, seed in seeds.items()
    }
    hashes = {name: manifest["weights_sha256"] for name, manifest in manifests.items()}
    assert hashes["first"] == hashes["again"] != hashes["other"]


def test_mistakes_are_one_line(model_folder: Path, tmp_path: Path) -> None:
    entry = {**ENTRY, "steps": 1}
    setting = setting_of(model_folder, tmp_path / "m", entry)
    with pytest.raises(InputError, match="key 'keep': got no neutral text"):
        tuning_variants(setting._replace(neutral=[]))
    assert not [name for name, _ in setting.model.model.named_modules() if "lora" in name]
    (variant,) = tuning_variants(setting)
    manifest = variant.manifest(0.5)
    (Path(manifest["adapter"]) / "adapter_config.json").write_text("{}")
    with pytest.raises(
        InputError, match=rf"have changed since they were recorded; remove {tmp_path / 'm'} and run again"
    ):
        _ = open_model(manifest, LOADING).model
    setting.model.config.quantization_config = {"load_in_8bit": True}
    with pytest.raises(InputError, match="model m: got a base with quantised weights"):
        tuning_variants(setting)


def test_an_adapter_can_be_taken_off(model_folder: Path, tmp_path: Path) -> None:
    model = setting_of(model_folder, tmp_path, ENTRY).model.model
    own = last_logits(model, [5, 6, 7])
    learner = LoraLearner(model, Lora(r=2), seed=1)
    with torch.no_grad():
        for weight in learner.parameters().values():
            weight.fill_(0.5)
    assert not torch.equal(last_logits(model, [5, 6, 7]), own)
    learner.remove()
    assert torch.equal(last_logits(model, [5, 6, 7]), own)
