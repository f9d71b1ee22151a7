"""Resources requested for a model's jobs (GPUs, memory, time), estimated from its number of parameters and dtype.

The estimates should suffice on the first attempt. Otherwise memory grows with each attempt, and a killed job resumes
where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from leakscope.errors import counted

BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
# `auto` is the checkpoint's dtype, two bytes for nearly all current models; on a CPU it is float32.
BYTES_OF_CHECKPOINT, BYTES_ON_CPU = 2.0, 4.0
# Most files have four bits per parameter plus scales.
BYTES_OF_GGUF = 0.6
# A model of unknown size is assumed to have a common one.
UNKNOWN_PARAMETERS = 8e9
# GPU memory: weights with 20 % overhead (buffers, fragmentation), plus a workspace for caches, activations and CUDA.
OVERHEAD, WORKSPACE_GB = 1.2, 4.0
# Machine memory: libraries and tables, plus 1.5 times the weights while they are loaded.
BASE_MB, LOADING = 4000, 1.5
BASE_MINUTES, MINUTES_PER_BILLION = 60, 10
# Tuning keeps the activations of a whole step and takes several times as long. Full training holds the weights,
# gradients, two AdamW moments and initial weights, four bytes each.
TUNING_WORKSPACE_GB, TUNING_MINUTES, BYTES_TRAINED = 16.0, 4, 20.0


class Needs(NamedTuple):
    """Resources of one job with a model: GPUs, MB of machine memory, minutes."""

    gpus: int
    memory_mb: int
    minutes: int


def model_needs(entry: Mapping[str, Any], gpu_memory_gb: float) -> Needs:
    """Return the resources of a job that generates with a model or scores with it.

    Args:
        entry: the model's resolved entry in the configuration.
        gpu_memory_gb: memory of one GPU, in GB; a larger model gets several GPUs.
    """
    return _needs(entry, gpu_memory_gb, WORKSPACE_GB, trained=False)


def tuning_needs(entry: Mapping[str, Any], gpu_memory_gb: float, full: bool) -> Needs:
    """Return the resources of a job that tunes a model.

    Args:
        entry: the resolved entry of the initial model.
        gpu_memory_gb: memory of one GPU, in GB.
        full: whether all weights are trained, rather than an adapter.
    """
    needs = _needs(entry, gpu_memory_gb, TUNING_WORKSPACE_GB, trained=full)
    # An organism is tuned on the CPU, where it was trained, whatever its device.
    gpus = 0 if entry["source"] == "organism" else needs.gpus
    return needs._replace(gpus=gpus, minutes=TUNING_MINUTES * needs.minutes)


def randomised_needs(entry: Mapping[str, Any], gpu_memory_gb: float) -> Needs:
    """Return the resources of a job with a randomised model, whose float32 weights are held along with its base's.

    Args:
        entry: the resolved entry of the base.
        gpu_memory_gb: memory of one GPU, in GB.
    """
    needs = model_needs(entry, gpu_memory_gb)
    if entry["source"] == "organism":
        return needs
    return needs._replace(memory_mb=needs.memory_mb + math.ceil(BYTES["float32"] * _n_parameters(entry) / 1e6))


def short_of_gpus(needs: Mapping[str, Needs], allowed: int, gpu_memory_gb: float) -> list[str]:
    """Return a warning for each model that needs more GPUs than a job may have.

    Args:
        needs: model → resources of its jobs.
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
    # A model that is quantised while loading passes through memory in its stored dtype.
    stored = parameters * BYTES.get(entry["dtype"], BYTES_OF_CHECKPOINT)
    return Needs(gpus, BASE_MB + math.ceil(LOADING * stored / 1e6), minutes)


def _n_parameters(entry: Mapping[str, Any]) -> float:
    """Return the number of parameters from the entry, else from the size of local files, else a guess."""
    if entry["parameters"]:
        return float(entry["parameters"])
    if entry.get("gguf_file") and entry["source"] == "local":
        return Path(entry["path"], entry["gguf_file"]).stat().st_size / BYTES_OF_GGUF
    if entry["source"] == "local":
        return sum(path.stat().st_size for path in _weight_files(Path(entry["path"]))) / BYTES_OF_CHECKPOINT
    return UNKNOWN_PARAMETERS


def _weight_files(folder: Path) -> list[Path]:
    """Return the weight files of a folder, without the ``consolidated`` copy that many folders also hold."""
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
