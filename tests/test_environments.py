"""Environments, lock and project metadata name the same packages at the same versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

CONDA_NAMES = {"pytorch": "torch"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): version for name, version in pins}


@pytest.mark.parametrize("name", ["analysis", "models", "plotting", "scoring"])
def test_environments_pin_what_the_lock_pins(root: Path, name: str) -> None:
    environment = yaml.safe_load((root / f"envs/{name}.yaml").read_text(encoding="utf-8"))
    pins = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pins += [pin for entry in environment["dependencies"] if isinstance(entry, dict) for pin in entry["pip"]]
    versions = lock(root)
    for pin in pins:
        package, _, version = pin.replace("==", "=").replace(" ", "").partition("=")
        if package in ("python", "pip"):
            continue
        assert versions[normal(CONDA_NAMES.get(package, package))] == version, pin


def test_the_lock_pins_every_dependency_and_no_local_build(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = lock(root)
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        assert normal(requirement) in versions, requirement
    assert versions["torch"] == "2.13.0"
    assert not any("+" in version for version in versions.values())


def test_every_runtime_dependency_is_justified(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (root / "docs/dependencies.md").read_text(encoding="utf-8").lower()
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        assert requirement.lower() in page, requirement


def test_every_rule_has_its_script_and_every_script_its_rule(root: Path) -> None:
    rules: set[str] = set()
    for path in (root / "rules").glob("*.smk"):
        rules |= set(re.findall(r"^rule (\w+):", path.read_text(encoding="utf-8"), flags=re.M))
    tools = {"freeze_grammar", "study_folder", "plot"}  # `plot` serves a rule a figure
    assert rules == {path.stem for path in (root / "scripts").glob("*.py")} - tools
