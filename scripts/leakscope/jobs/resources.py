"""What a model's jobs ask a scheduler for: GPUs, memory and time, from the number of its parameters and their format.

The estimates are meant to be enough on the first try. Where they are not, memory grows with each try, and a job that
was ended goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from leakscope.errors import counted

BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
# `auto` is the checkpoint's own format, which for nearly all models of today has two bytes; on a CPU it is float32.
BYTES_OF_CHECKPOINT, BYTES_ON_CPU = 2.0, 4.0
# Most files are of four bits and scales.
BYTES_OF_GGUF = 0.6
# A model that does not say its size is taken for one of the size that most studies use.
UNKNOWN_PARAMETERS = 8e9
# Of a GPU: weights take a fifth more than their size (buffers, fragmentation); caches, activations and CUDA the rest.
OVERHEAD, WORKSPACE_GB = 1.2, 4.0
# Of the machine: libraries and tables; and the weights, one and a half times while they are being loaded.
BASE_MB, LOADING = 4000, 1.5
BASE_MINUTES, MINUTES_PER_BILLION = 60, 10
# Tuned, a model keeps the activations of a whole step, and takes several times as long. Where all of it is trained,
# there are weights, gradients, the two moments of AdamW and the weights it began with, each in four bytes.
TUNING_WORKSPACE_GB, TUNING_MINUTES, BYTES_TRAINED = 16.0, 4, 20.0


class Needs(NamedTuple):
    """What one job with a model needs: devices, MB of the machine's memory, minutes."""

    gpus: int
    memory_mb: int
    minutes: int


def model_needs(entry: Mapping[str, Any], gpu_memory_gb: float) -> Needs:
    """Return what a job needs that lets a model generate.

    Args:
        entry: the model's entry in the configuration, complete.
        gpu_memory_gb: memory of one GPU, in GB; a model larger than that gets several.
    """
    return _needs(entry, gpu_memory_gb, WORKSPACE_GB, trained=False)


def tuning_needs(entry: Mapping[str, Any], gpu_memory_gb: float, full: bool) -> Needs:
    """Return what a job needs that tunes a model.

    Args:
        entry: the entry of the model that training begins with, complete.
        gpu_memory_gb: memory of one GPU, in GB.
        full: whether all weights are trained, not only small matrices beside them.
    """
    needs = _needs(entry, gpu_memory_gb, TUNING_WORKSPACE_GB, trained=full)
    # An organism is tuned where it was trained, on the CPU, whatever device it runs on.
    gpus = 0 if entry["source"] == "organism" else needs.gpus
    return needs._replace(gpus=gpus, minutes=TUNING_MINUTES * needs.minutes)


def randomised_needs(entry: Mapping[str, Any], gpu_memory_gb: float) -> Needs:
    """Return what a job needs with a model whose weights are drawn anew: in float32, beside those of its base.

    Args:
        entry: the entry of the base, complete.
        gpu_memory_gb: memory of one GPU, in GB.
    """
    needs = model_needs(entry, gpu_memory_gb)
    if entry["source"] == "organism":
        return needs
    return needs._replace(memory_mb=needs.memory_mb + math.ceil(BYTES["float32"] * _n_parameters(entry) / 1e6))


def short_of_gpus(needs: Mapping[str, Needs], allowed: int, gpu_memory_gb: float) -> list[str]:
    """Return a line for each model that needs more GPUs than a job may have.

    Args:
        needs: model → what its jobs need.
        allowed: GPUs that Snakemake may give to all jobs together.
        gpu_memory_gb: memory of one GPU, in GB.
    """
    return [
        f"{model} needs {counted(need.gpus, 'GPU', 'GPUs')} of {gpu_memory_gb:g} GB and gets {allowed}: "
        "raise `gpu` in the profile, or `gpu_memory_gb`, or quantise it."
        for model, need in needs.items()
        if need.gpus > allowed
    ]


def _needs(entry: Mapping[str, Any], gpu_memory_gb: float, workspace_gb: float, *, trained: bool) -> Needs:
    if entry["source"] == "organism":
        return Needs(int(entry["device"] != "cpu"), BASE_MB, BASE_MINUTES)
    parameters = _n_parameters(entry)
    minutes = BASE_MINUTES + math.ceil(MINUTES_PER_BILLION * parameters / 1e9)
    if entry["device"] == "cpu":
        loaded = LOADING * BYTES.get(entry["dtype"], BYTES_ON_CPU)
        return Needs(0, BASE_MB + math.ceil(parameters * max(loaded, BYTES_TRAINED * trained) / 1e6), minutes)
    size = parameters * (BYTES_TRAINED if trained else _bytes_per_parameter(entry))
    gpus = math.ceil((OVERHEAD * size / 1e9 + workspace_gb) / gpu_memory_gb)
    # Quantised while loading, a model passes through memory as it is stored.
    stored = parameters * BYTES.get(entry["dtype"], BYTES_OF_CHECKPOINT)
    return Needs(gpus, BASE_MB + math.ceil(LOADING * stored / 1e6), minutes)


def _n_parameters(entry: Mapping[str, Any]) -> float:
    """Return what the entry says, else what a folder's files hold, else a guess."""
    if entry["parameters"]:
        return float(entry["parameters"])
    if entry.get("gguf_file") and entry["source"] == "local":
        return Path(entry["path"], entry["gguf_file"]).stat().st_size / BYTES_OF_GGUF
    if entry["source"] == "local":
        return sum(path.stat().st_size for path in _weight_files(Path(entry["path"]))) / BYTES_OF_CHECKPOINT
    return UNKNOWN_PARAMETERS


def _weight_files(folder: Path) -> list[Path]:
    """Return the files of a folder's weights, less the copy in another program's form that many have beside them."""
    whole = folder / "model.safetensors"
    files = [whole] if whole.exists() else sorted(folder.glob("*.safetensors"))
    return [file for file in files if not file.name.startswith("consolidated")] or files


def _bytes_per_parameter(entry: Mapping[str, Any]) -> float:
    quantization = entry["quantization"] or {}
    if quantization.get("load_in_4bit"):
        return 0.5
    if quantization.get("load_in_8bit"):
        return 1.0
    return BYTES.get(entry["dtype"], BYTES_OF_CHECKPOINT)
