"""Thousands of configurations in which something is wrong: each is read, or refused in lines that a person reads."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest

from leakscope.configuration.layers import lay, shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.files.reading_yaml import read_yaml
from mutants import LONGEST_LINE, each_of, mutate

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))
# In `make test`, and where slow tests are run, too: as many as the project once was attacked with.
QUICK, SLOW = 400, 4400


@pytest.fixture(scope="module")
def written() -> list[dict[str, Any]]:
    """What is shipped, under each study."""
    below = shipped(ROOT)
    return [below, *(lay(below, read_yaml(ROOT / f"studies/{name}.yaml")) for name in STUDIES)]


def outcome(config: dict[str, Any]) -> str:
    """Return what a person is told; nothing where the configuration is accepted."""
    try:
        resolve(config)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("n", [QUICK, pytest.param(SLOW, marks=pytest.mark.slow)])
def test_mutants_are_read_or_refused_in_lines_that_a_person_reads(
    written: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LEAKSCOPE_PUBLISHED", "/nowhere")
    n_refused = 0

    def check(draw: random.Random) -> None:
        nonlocal n_refused
        config = copy.deepcopy(draw.choice(written))
        for _ in range(draw.randint(1, 3)):
            mutate(config, draw)
        lines = outcome(config).splitlines()
        n_refused += bool(lines)
        for line in lines:
            assert len(line) <= LONGEST_LINE, line
            assert ": " in line or line.startswith("... and"), line

    each_of(n, "configuration", check)
    assert n_refused > n / 3
