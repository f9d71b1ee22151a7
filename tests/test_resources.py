"""What jobs ask a scheduler for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leakscope.jobs.resources import Needs, model_needs, tuning_needs


def entry(**keys: Any) -> dict[str, Any]:
    return {"source": "hub", "parameters": None, "dtype": "auto", "quantization": None, "device": "auto", **keys}


def test_an_organism_needs_no_gpu() -> None:
    assert model_needs({"source": "organism", "device": "cpu"}, 80) == Needs(0, 4000, 60)
    assert model_needs({"source": "organism", "device": "cuda"}, 80).gpus == 1


@pytest.mark.parametrize(
    ("keys", "gpu_memory_gb", "gpus"),
    [
        ({"parameters": 494_032_768}, 80, 1),
        ({"parameters": 7_600_000_000}, 24, 1),  # 18.2 GB of weights and 4 of workspace
        ({"parameters": 7_600_000_000}, 16, 2),
        ({"parameters": 7_600_000_000, "dtype": "float32"}, 24, 2),
        ({"parameters": 7_600_000_000, "quantization": {"load_in_4bit": True}}, 16, 1),
        ({"parameters": 72_000_000_000}, 80, 3),
        ({"parameters": 72_000_000_000, "quantization": {"load_in_8bit": True}}, 80, 2),
        ({"parameters": 72_000_000_000, "device": "cpu"}, 80, 0),
        ({}, 24, 1),
    ],
)
def test_gpus_hold_the_models_weights(keys: dict[str, Any], gpu_memory_gb: float, gpus: int) -> None:
    assert model_needs(entry(**keys), gpu_memory_gb).gpus == gpus


def test_memory_and_time_grow_with_the_model() -> None:
    small, large = (model_needs(entry(parameters=size), 80) for size in (10**9, 10**10))
    assert small == Needs(1, 4000 + 3000, 70)
    assert large == Needs(1, 4000 + 30_000, 160)


def test_on_a_cpu_a_parameter_has_four_bytes() -> None:
    on_cpu = model_needs(entry(parameters=10**9, device="cpu"), 80)
    assert on_cpu == Needs(0, 4000 + 6000, 70)
    assert model_needs(entry(parameters=10**9, device="cpu", dtype="bfloat16"), 80).memory_mb == 4000 + 3000


def test_a_folder_says_its_size_by_its_files(tmp_path: Path) -> None:
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(10**9)
    assert model_needs(entry(source="local", path=str(tmp_path)), 80) == Needs(1, 4000 + 3000, 70)


def test_a_copy_beside_the_weights_is_not_counted_twice(tmp_path: Path) -> None:
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "consolidated.safetensors"):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(10**9)
    expected = Needs(1, 4000 + 3000, 70)
    assert model_needs(entry(source="local", path=str(tmp_path)), 80) == expected
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.truncate(2 * 10**9)
    assert model_needs(entry(source="local", path=str(tmp_path)), 80) == expected


def test_tuning_needs_room_for_a_step_and_whole_weights_for_much_beside_them() -> None:
    whole = entry(parameters=3 * 10**9)
    assert tuning_needs(whole, 80, full=False) == Needs(1, 4000 + 9000, 4 * 90)
    assert tuning_needs(whole, 20, full=False).gpus == 2  # 7.2 GB of weights and 16 of workspace
    assert tuning_needs(whole, 80, full=True) == Needs(2, 4000 + 9000, 4 * 90)  # 20 bytes a parameter
    on_cpu = entry(parameters=10**9, device="cpu")
    assert [tuning_needs(on_cpu, 80, full=full).memory_mb for full in (False, True)] == [4000 + 6000, 4000 + 20_000]
    assert tuning_needs({"source": "organism", "device": "cpu"}, 80, full=True) == Needs(0, 4000, 240)
