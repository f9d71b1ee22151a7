"""Shared fixtures: a small grammar, and a small model saved to disk like any other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from workspace import Workspace

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parents[1]
# Of the files that run Snakemake, those that take longest: half a minute of CPU and more.
LONGEST = (
    "test_slurm",
    "test_validate_workflow",
    "test_reruns",
    "test_gpus",
    "test_anywhere",
    "test_hub",
    "test_model_sources",
    "test_features_workflow",
    "test_workflow",
    "test_ground_workflow",
)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of the published studies' data; the test is skipped where it is not set."""
    folder = os.environ.get("LEAKSCOPE_PUBLISHED")
    if not folder:
        pytest.skip("LEAKSCOPE_PUBLISHED is not set: give the folder that holds the published studies' data")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def micro_grammar():
    """Two templates over three colors, one fact each; strength 0.5."""
    from helpers import micro_grammar

    return micro_grammar(0.5)


@pytest.fixture(scope="session")
def micro_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of some thousand parameters, trained for a few steps: enough to write varied, grammatical text."""
    from helpers import train_micro_organism

    return train_micro_organism(tmp_path_factory.mktemp("micro") / "model")


@pytest.fixture(scope="session")
def micro_model(micro_model_folder: Path):
    """The micro model, loaded as a study loads it."""
    from helpers import LOADING
    from leakscope.models.opening import open_model
    from leakscope.storage.manifests import describe_folder

    return open_model(describe_folder(micro_model_folder, "local"), LOADING)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which all of the micro study has been run, once for all workers: to be copied, not changed."""
    from workspace import Workspace

    folder = tmp_path_factory.getbasetemp()
    # Each worker has its own folder in one that they share.
    return Workspace.finished((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "finished")


def pytest_configure() -> None:
    """Begin the list of skipped tests that ``LEAKSCOPE_SKIPPED`` names: ``.ci/run`` runs these again, prepared."""
    if "LEAKSCOPE_SKIPPED" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        Path(os.environ["LEAKSCOPE_SKIPPED"]).write_text("", encoding="utf-8")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add a skipped test to that list, with its reason. With several workers, the process that they report to does."""
    if report.skipped and "LEAKSCOPE_SKIPPED" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        with Path(os.environ["LEAKSCOPE_SKIPPED"]).open("a", encoding="utf-8") as stream:
            stream.write(f"{report.nodeid}  # {reason}\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker is left with one of them at the end."""

    def place(item: pytest.Item) -> tuple[bool, int]:
        runs_snakemake = item.get_closest_marker("workflow") is not None
        return not runs_snakemake, LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)

    items.sort(key=place)
    if not os.environ.get("LEAKSCOPE_SLOW"):
        for item in items:
            if item.get_closest_marker("slow") is not None:
                item.add_marker(pytest.mark.skip(reason="LEAKSCOPE_SLOW is not set: slow, and run by .ci/run"))
