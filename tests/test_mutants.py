"""Thousands of configurations in which something is wrong: each is read, or refused in lines that a person reads."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leakscope.configuration.layers import lay, shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.files.reading_yaml import read_yaml

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))
LONGEST_LINE = 400
# The slow tests make as many as the project once was attacked with.
MUTANTS = 4400 if os.environ.get("LEAKSCOPE_SLOW") else 700
VALUES: list[Any] = [
    None, True, 0, 1, -1, 2.5, 1e308, -1e-320, 10**30, float("nan"), float("inf"), "", " ", "\n", "null", "5e-3",
    "é\u2028", "\x00", "\ud800", "<b>", "</script>", "a" * 5000, "$NOWHERE/x", "~nobody/x", "../..", "/dev/zero",
    "{prompt}", [], [[]], [None], ["colors", "colors"], {}, {"a": 1}, {1: 2}, {None: None}, {"source": "hub"},
    {"source": []}, {"source": {}}, {"kind": "lexical"}, "organism-s-l0", "colors", "hub", "own", 20241129,
    "2024-13-45",
]  # fmt: skip


@pytest.fixture(scope="module")
def written() -> list[dict[str, Any]]:
    """What is shipped, under each study."""
    below = shipped(ROOT)
    return [below, *(lay(below, read_yaml(ROOT / f"studies/{name}.yaml")) for name in STUDIES)]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each key of a mapping, and place of a list, with what it is in."""
    for key, inner in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from places(inner)


def mutate(config: dict[str, Any], draw: random.Random) -> None:
    """Change a configuration in one place."""
    inside, key = draw.choice(list(places(config)))
    value = copy.deepcopy(draw.choice(VALUES))
    kind = draw.randrange(7)
    if kind <= 2:
        inside[key] = value
    elif kind == 3:
        del inside[key]
    elif kind == 4 and isinstance(inside, dict):
        inside[str(key)[:-1] + draw.choice("xX_\n ")] = inside.pop(key)
    elif kind == 5:
        inside[key] = draw.choice([[inside[key]], {"a": inside[key]}, str(inside[key]), [inside[key], inside[key]]])
    else:
        # What stands in quite another place.
        other, there = draw.choice(list(places(config)))
        inside[key] = copy.deepcopy(other[there])


def outcome(config: dict[str, Any]) -> str:
    """Return what a person is told; nothing where the configuration is accepted."""
    try:
        resolve(config)
    except InputError as error:
        return str(error)
    return ""


def test_every_mutant_is_read_or_refused_in_lines_that_a_person_reads(
    written: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LEAKSCOPE_PUBLISHED", "/nowhere")
    refused = 0
    for number in range(MUTANTS):
        draw = random.Random(number)
        config = copy.deepcopy(draw.choice(written))
        for _ in range(draw.randint(1, 3)):
            mutate(config, draw)
        try:
            lines = outcome(config).splitlines()
        except Exception as error:
            raise AssertionError(f"mutant {number} ended in {error!r}") from error
        refused += bool(lines)
        for line in lines:
            assert len(line) <= LONGEST_LINE, (number, line)
            assert ": " in line or line.startswith("... and"), (number, line)
    assert refused > MUTANTS / 3
