"""Trainable parts of a model: all its weights, or a low-rank adapter (LoRA)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from leakscope.errors import InputError, one_of
from leakscope.files.writing import replacing, share_weights
from leakscope.models.tuning.settings import Lora
from leakscope.statistics.seeding import seeded_hash
from leakscope.storage.manifests import ADAPTER_FILES, write_manifest

WEIGHTS_FILE, CONFIG_FILE = ADAPTER_FILES
# What a tokenizer takes for its own settings, and is how it was loaded.
OF_LOADING = ("is_local", "local_files_only")


class Learner(Protocol):
    """A model in training: ``model`` has the current weights; ``as_base()`` yields a model with the base's weights."""

    model: PreTrainedModel

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Return what is trained, by name."""

    def begin(self, step: int) -> None:
        """Prepare a step: its dropout depends on the seed and the step alone."""

    def as_base(self) -> AbstractContextManager[PreTrainedModel]:
        """Yield a model that reads as the base."""

    def save(self, folder: Path) -> None:
        """Write what was trained."""


class FullLearner:
    """Trains all weights; dropout is off."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, keeps_base: bool) -> None:
        """Hold the model, and a copy of it if the base is needed during training."""
        self.model, self.tokenizer = model.eval(), tokenizer
        self._base = copy.deepcopy(model) if keeps_base else None

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        return dict(self.model.named_parameters())

    def begin(self, step: int) -> None:
        del step

    @contextmanager
    def as_base(self) -> Iterator[PreTrainedModel]:
        assert self._base is not None, "the base was not kept"
        yield self._base

    def save(self, folder: Path) -> None:
        """Write an ordinary model folder: safetensors weights, configuration, tokenizer, chat template."""
        self.model.save_pretrained(folder)
        for key in OF_LOADING:
            self.tokenizer.init_kwargs.pop(key, None)
        self.tokenizer.save_pretrained(folder)
        share_weights(folder)


class LoraLearner:
    """Trains a low-rank adapter, in float32 whatever the model's format; the model's own dropout is off."""

    def __init__(self, model: PreTrainedModel, lora: Lora, seed: int) -> None:
        """Add an adapter to the model, which initially changes nothing: one of its two factors is zero.

        Raises:
            InputError: a target module is unknown, or of a kind that no adapter is made for.
        """
        # Imported here: it costs seconds.
        from peft import LoraConfig, get_peft_model

        self.model, self.seed, self.dropout = model, seed, lora.dropout
        for name in lora.target_modules or ():
            _check_target(model, name)
        config = LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=sorted(lora.target_modules) if lora.target_modules else "all-linear",
            task_type="CAUSAL_LM",
            # Weights that are stored the other way round, as GPT-2's are.
            fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),
        )
        torch.manual_seed(seeded_hash(seed, "adapter") % 2**63)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of what peft asks transformers for
                self._peft = get_peft_model(model, config)
        except ValueError as error:
            raise InputError(
                f"tuning: key 'target_modules': peft refuses it ({' '.join(str(error).split())[:200]}); "
                "allowed: names of linear layers."
            ) from error
        model.eval()

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def begin(self, step: int) -> None:
        if self.dropout:
            torch.manual_seed(seeded_hash(self.seed, "dropout", str(step)) % 2**63)
            for name, module in self.model.named_modules():
                module.training = ".lora_dropout" in name

    @contextmanager
    def as_base(self) -> Iterator[PreTrainedModel]:
        with self._peft.disable_adapter():
            yield self.model

    def remove(self) -> None:
        """Remove the adapter: the model has its own modules again."""
        self._peft.unload()

    def save(self, folder: Path) -> None:
        """Write an adapter as ``peft`` reads it, without the path of the base."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        weights = get_peft_model_state_dict(self._peft, save_embedding_layers=False)
        stored = {name: weight.contiguous().cpu() for name, weight in weights.items()}
        with replacing(folder / WEIGHTS_FILE) as part:
            save_file(stored, part, metadata={"format": "pt"})
        config = {**self._peft.active_peft_config.to_dict(), "base_model_name_or_path": None, "inference_mode": True}
        write_manifest({key: _sorted(value) for key, value in config.items()}, folder / CONFIG_FILE)


def check_whole(config: PreTrainedConfig, name: str) -> None:
    """Check that a model's weights are whole: quantised ones are not trained.

    Raises:
        InputError: they are quantised.
    """
    if getattr(config, "quantization_config", None):
        raise InputError(f"model {name}: got a base with quantised weights; allowed: a base with unquantised weights.")


def _check_target(model: PreTrainedModel, name: str) -> None:
    """Reject a name that no layer has: peft silently ignores a misspelt name among several."""
    layers = {layer.rpartition(".")[2] for layer, module in model.named_modules() if not list(module.children())}
    if not any(layer == name or layer.endswith(f".{name}") for layer, _ in model.named_modules()):
        raise one_of("tuning: key 'target_modules'", name, layers - {""})


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else value
