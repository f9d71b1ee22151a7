"""Environments, lock and project metadata name the same packages at the same versions."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from leakscope.jobs.dependencies import script_files
from rule_texts import rules

CONDA_NAMES = {"pytorch": "torch"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): version for name, version in pins}


@pytest.mark.parametrize("name", ["analysis", "counting", "models", "plotting", "report", "scoring"])
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


# What an import is called, where the package is called otherwise, and what comes with another package.
IMPORT_NAMES = {"yaml": "pyyaml", "torch": "torch", "pydantic_core": "pydantic", "vl_convert": "vl-convert-python"}
# What few studies need, and who needs it installs: docs/dependencies.md. Where it is not, one line says so.
ASKED_FOR = {"lm_eval"}


@pytest.mark.parametrize("step", ["models", "organisms", "leak", "ground", "validate", "features", "trace", "report"])
def test_every_rules_imports_are_in_its_environment(root: Path, step: str) -> None:
    of_step = [rule for rule in rules(root) if rule.path.parent.name == step and rule.script]
    assert of_step
    for rule in of_step:
        assert rule.script
        assert rule.environment
        packages = {normal(CONDA_NAMES.get(name, name)) for name in environment_packages(root, rule.environment)}
        imported = set().union(*(imports(Path(file)) for file in script_files(root / "scripts", rule.script)))
        third_party = imported - set(sys.stdlib_module_names) - {"leakscope", "snakemake"} - ASKED_FOR
        missing = {name for name in third_party if normal(IMPORT_NAMES.get(name, name)) not in packages}
        assert not missing, f"rule {rule.name}, envs/{rule.environment}.yaml"


def environment_packages(root: Path, name: str) -> list[str]:
    environment = yaml.safe_load((root / f"envs/{name}.yaml").read_text(encoding="utf-8"))
    pins = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pins += [pin for entry in environment["dependencies"] if isinstance(entry, dict) for pin in entry["pip"]]
    return [re.split(r"[ =]", pin)[0] for pin in pins]


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


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
    scripts = {
        path.relative_to(root / "scripts").with_suffix("").as_posix() for path in (root / "scripts").rglob("*.py")
    }
    entries = {script for script in scripts if not script.startswith(("leakscope/", "snakemake_logger_plugin_"))}
    # What a person starts; the rules that draw share one.
    of_make = {"organisms/freeze_grammar", "missing_models", "new_study", "study_folder", "compare", "pack", "unpack"}
    tools = of_make | {"store", "wordnet_corpora"}
    assert {rule.script for rule in rules(root) if rule.script} == entries - tools
    for rule in rules(root):
        if rule.script and rule.script != "figures/plot":
            assert rule.script == f"{rule.path.parent.name}/{rule.name}"
