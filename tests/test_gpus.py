"""Several GPUs in one machine: which device each job of a run saw, from what the jobs themselves say."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from workspace import Workspace

pytestmark = pytest.mark.workflow

MODELS = ("big-a", "big-b", "big-c")
LINE = re.compile(r"^(\d\d\d\d-\S+ \S+) INFO \S+: (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def workspace(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three models that ask for a GPU, and an organism that does not."""
    made = finished.copy(tmp_path_factory.mktemp("gpus") / "checkout")
    own = {"samples": 3000, "system": None, "template": "{prompt}"}
    made.study["models"] |= {"big-a": {"source": "local", "path": "results/models/tiny-l100", "generation": own}}
    made.study["models"] |= {
        name: {"extends": "big-a", "generation": {"temperature": 0.5 + number / 10}}
        for number, name in enumerate(MODELS[1:], 1)
    }
    made.study["study"]["models"] += MODELS
    made.run("--cores", "1", "results/models/big-a/model.json")
    return made


@pytest.mark.parametrize(
    ("options", "devices", "together"),
    [
        # More jobs at once than devices: the third waits for one of them.
        (("--workflow-profile", "profiles/local-gpu", "--cores", "24"), "0,1", True),
        # The default profile lets one job have a GPU at a time, whatever the machine has.
        (("--cores", "24"), "0,1", False),
    ],
)
def test_gpu_jobs_have_devices_of_their_own(
    workspace: Workspace, options: tuple[str, ...], devices: str, *, together: bool
) -> None:
    workspace.environment = {"CUDA_VISIBLE_DEVICES": devices}
    targets = [f"results/micro/generations/{model}/micro.parquet" for model in (*MODELS, "tiny-l0")]
    workspace.run(*options, "--forcerun", "generate", "--", *targets)
    spans = [span(workspace, model) for model in MODELS]
    assert {seen for *_, seen in spans} == (set(devices.split(",")) if together else {"0"})
    shared = [(one, other) for one, other in combinations(spans, 2) if max(one[0], other[0]) < min(one[1], other[1])]
    assert bool(shared) == together
    assert all(one[2] != other[2] for one, other in shared)
    assert span(workspace, "tiny-l0")[2] == "none"


def span(workspace: Workspace, model: str) -> tuple[str, str, str]:
    """Return when a job began to have its devices, when it last said something, and which they were."""
    log = (workspace.folder / f"results/micro/logs/generate/{model}/micro.log").read_text(encoding="utf-8")
    lines = LINE.findall(log)
    begun, seen = next((time, said.removeprefix("GPUs of this job: ")) for time, said in lines if "GPUs of" in said)
    return begun, lines[-1][0], seen
