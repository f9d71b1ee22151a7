"""Mitigation by training: an adapter that makes the model continue a test prompt like its control."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from leakscope.files.writing import replacing
from leakscope.models.candidate_scores import encode_candidates
from leakscope.models.opening import LanguageModel
from leakscope.models.tuning.differentiable import Differentiable, divergence
from leakscope.models.tuning.draws import without_replacement
from leakscope.models.tuning.learners import Learner, LoraLearner, check_whole
from leakscope.models.tuning.settings import Lora
from leakscope.models.tuning.terms import NEUTRAL_TOKENS, Term, keep_term
from leakscope.models.tuning.trainer import train
from leakscope.storage.manifests import ADAPTER_FILES, describe_adapter, read_manifest, write_manifest
from leakscope.trace.removal.selected import selected_prompts
from leakscope.trace.removal.variants import Setting, Variant

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LEAK = "leak"
WHOLE = 1.0  # strength of the adapter as trained
WEIGHTS, CONFIG = ADAPTER_FILES


class AdapterTraining(NamedTuple):
    """Hyperparameters of an adapter's training, named as in ``validate``'s methods."""

    steps: int
    batch_size: int
    keep: float
    warmup_share: float = 0.1
    weight_decay: float = 0.0
    checkpoint_steps: int = 0


class Row(NamedTuple):
    """Tokens of a test, of its control, and of a candidate's beginning that follows both."""

    test: list[int]
    control: list[int]
    beginning: list[int]


def tuning_variants(setting: Setting) -> list[Variant]:
    """Train an adapter and return one variant, whose strength scales the adapter.

    The loss is the mean over rows of Σ_t KL(p_control || p_test) at the next token after the prompt and after each
    token of a candidate but its last, the same tokens after both, plus ``keep`` · KL(base || tuned) per token of
    neutral text. A row is a test of the selection split with a candidate of its slot; p_control is the base's. Nats.

    The model is unchanged after this returns and outside the variant's contexts. Reproducible for a seed and one thread
    (``torch.set_num_threads(1)``).

    Args:
        setting: its entry has ``r, alpha, steps, batch_size, learning_rate, keep``. Each strength has a folder below
            ``folder``, all with one file of weights.

    Raises:
        InputError: there is no test or no neutral text, the model is quantised, or as ``trainer.train``.
    """
    check_whole(setting.model.config, setting.name)
    _train(setting)

    def manifest(strength: float) -> dict[str, Any]:
        return describe_adapter(_scaled(setting.folder, strength), setting.manifest, source="mitigated")

    @contextmanager
    def at(strength: float) -> Iterator[LanguageModel]:
        described, model = manifest(strength), setting.model
        hashes = {key: described[key] for key in ("weights_sha256", "settings_sha256")}
        with ExitStack() as stack:

            def load() -> PreTrainedModel:
                stack.enter_context(_laid_upon(model.model, described["adapter"]))
                return model.model

            identity = {**model.identity, **hashes}
            yield LanguageModel(model.tokenizer, model.config, model.generation_config, identity, load)

    return [Variant("", WHOLE, at, manifest, setting.prompting)]


def training_rows(setting: Setting) -> list[Row]:
    """Return every test of the selection split with every candidate of its slot.

    Raises:
        InputError: as ``selected_prompts``.
    """
    selected = selected_prompts(setting)
    lexicons = setting.items.candidates.groupby("slot", sort=False)["candidate"].agg(list)
    of_tests = [lexicons[slot] for slot in selected.tests["slot"]]
    candidates = encode_candidates(setting.model, selected.rendered, selected.ids, of_tests, setting.prompting)
    return [
        Row(test, selected.controls[control], beginning[:-1])
        for test, control, beginnings in zip(selected.ids, selected.control_of, candidates, strict=True)
        for beginning in beginnings
    ]


def leak_term(learner: Learner, rows: Sequence[Row], method: AdapterTraining, seed: int) -> Term:
    """Return the term of Σ_t KL(p_control || p_test), the mean over rows; p_control is the base's. See above."""

    def loss(step: int) -> torch.Tensor:
        drawn = [rows[number] for number in without_replacement(len(rows), method.batch_size, step, seed, LEAK)]
        with torch.no_grad(), learner.as_base() as base:
            expected = _after(base, [row.control for row in drawn], drawn)
        found = _after(learner.model, [row.test for row in drawn], drawn)
        return divergence(expected, found) * len(expected) / len(drawn)

    return Term(LEAK, "rows", len(rows), 1.0, loss)


def _train(setting: Setting) -> None:
    """Write the trained adapter; the model is unchanged."""
    entry, model = setting.entry, setting.model.model
    method = AdapterTraining(entry["steps"], entry["batch_size"], entry["keep"])
    rows = training_rows(setting)
    with _left_as_it_was(model):
        learner = LoraLearner(model, Lora(entry["r"], entry["alpha"]), setting.seed)
        try:
            terms = [leak_term(learner, rows, method, setting.seed)]
            if method.keep > 0:
                texts = [text.ids[:NEUTRAL_TOKENS] for text in setting.neutral if len(text.ids) > 1]
                terms.append(keep_term(learner, texts, method, setting.seed))
            train(learner, terms, method, entry["learning_rate"], setting.name)
            learner.save(_folder(setting.folder, WHOLE))
        finally:
            learner.remove()


def _after(model: PreTrainedModel, prompts: Sequence[list[int]], rows: Sequence[Row]) -> torch.Tensor:
    """Return the log-probabilities of the next token after prompts and each token of the rows' beginnings."""
    read = [prompt + row.beginning for prompt, row in zip(prompts, rows, strict=True)]
    places = [range(len(prompt) - 1, len(ids)) for prompt, ids in zip(prompts, read, strict=True)]
    return Differentiable(model).next_tokens(read, places)


def _folder(folder: Path, strength: float) -> Path:
    return folder / str(float(strength))


def _scaled(folder: Path, strength: float) -> Path:
    """Return the folder of the adapter at a strength, written at first use."""
    whole, scaled = _folder(folder, WHOLE), _folder(folder, strength)
    if not (scaled / CONFIG).exists():
        _share(whole / WEIGHTS, scaled / WEIGHTS)
        config = read_manifest(whole / CONFIG)
        write_manifest({**config, "lora_alpha": config["lora_alpha"] * strength}, scaled / CONFIG)
    return scaled


def _share(file: Path, there: Path) -> None:
    """Hard-link a file: strengths differ only in settings, and weights are large."""
    with replacing(there) as part:
        part.unlink()
        try:
            os.link(file, part)
        except OSError:  # a file system without hard links
            shutil.copyfile(file, part)


@contextmanager
def _laid_upon(model: PreTrainedModel, folder: str) -> Iterator[None]:
    """Apply an adapter to a model within the context."""
    # Imported here: it costs seconds.
    from peft import PeftModel

    with _left_as_it_was(model):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of what peft asks transformers for
            adapted = PeftModel.from_pretrained(model, folder, torch_device=str(model.device))
        adapted.eval()
        try:
            yield
        finally:
            adapted.unload()


@contextmanager
def _left_as_it_was(model: PreTrainedModel) -> Iterator[None]:
    """Undo the side effect of a removed adapter: weights without gradients."""
    needed = {name: weight.requires_grad for name, weight in model.named_parameters()}
    try:
        yield
    finally:
        for name, weight in model.named_parameters():
            weight.requires_grad_(needed[name])
