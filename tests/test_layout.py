"""The plan of the house: floors below, a package for each step on them, and no step that knows another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from import_picture import packages, with_picture
from leakscope.jobs.dependencies import imported_modules, script_files

STEPS = {"leak", "ground", "validate", "features", "trace"}
# What several steps use. It knows no step, no figure and no configuration.
FLOORS = {
    *("files", "typed", "statistics", "storage", "packing", "jobs", "web"),
    *("organisms", "models", "similarity", "counting", "languages"),
}
FLAT = {"__init__.py", "errors.py"}
MOST_MODULES = 20


@pytest.fixture(scope="module")
def library(root: Path) -> Path:
    return root / "scripts/leakscope"


@pytest.fixture(scope="module")
def imports(root: Path, library: Path) -> dict[Path, set[Path]]:
    """Module → the modules it imports, all by their path below the library."""
    return {
        path.relative_to(library): {found.relative_to(library) for found in imported_modules(path, root / "scripts")}
        for path in library.rglob("*.py")
    }


def package(path: Path) -> str:
    return path.parts[0]


def test_every_module_but_errors_is_in_a_package(library: Path) -> None:
    assert {path.name for path in library.glob("*.py")} == FLAT
    assert {path.name for path in library.iterdir() if path.is_dir() and path.name != "__pycache__"} == {
        *STEPS, *FLOORS, "figures", "results", "configuration", "workflow",
    }  # fmt: skip


def test_no_package_has_more_modules_than_a_reader_takes_in(library: Path) -> None:
    for folder in {path.parent for path in library.rglob("*.py")}:
        assert len(list(folder.glob("*.py"))) <= MOST_MODULES, folder


def test_no_two_classes_have_one_name(library: Path) -> None:
    named: dict[str, list[str]] = {}
    for path in sorted(library.rglob("*.py")):
        for name in re.findall(r"^class _?(\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            named.setdefault(name, []).append(path.relative_to(library).as_posix())
    assert {name: paths for name, paths in named.items() if len(paths) > 1} == {}


def test_no_step_imports_another(imports: dict[Path, set[Path]]) -> None:
    between = {
        (str(path), str(found))
        for path, others in imports.items()
        for found in others
        if package(path) in STEPS and package(found) in STEPS - {package(path)}
    }
    assert between == set()


def test_floors_import_floors_alone(imports: dict[Path, set[Path]]) -> None:
    upwards = {
        (str(path), str(found))
        for path, others in imports.items()
        for found in others
        if package(path) in FLOORS and package(found) not in {*FLOORS, *FLAT}
    }
    assert upwards == set()


def test_figures_are_drawn_from_tables_alone(imports: dict[Path, set[Path]]) -> None:
    used = {package(found) for path, others in imports.items() if package(path) == "figures" for found in others}
    assert used <= {"figures", "files", *FLAT}


def test_packages_import_each_other_in_no_circle(root: Path) -> None:
    below = packages(root)
    while free := {name for name, others in below.items() if not others}:
        below = {name: others - free for name, others in below.items() if name not in free}
    assert below == {}


def test_the_picture_of_imports_is_true(root: Path) -> None:
    page = (root / "docs/layout.md").read_text(encoding="utf-8")
    assert with_picture(page) == page, "python tests/import_picture.py docs/layout.md"


def test_modules_import_each_other_in_no_circle(imports: dict[Path, set[Path]]) -> None:
    left = {path: others - {path} for path, others in imports.items()}
    while free := {path for path, others in left.items() if not others & left.keys()}:
        left = {path: others for path, others in left.items() if path not in free}
    assert left == {}


def test_writing_text_depends_on_no_step_and_on_no_edit(root: Path) -> None:
    used = {
        Path(file).relative_to(root / "scripts/leakscope")
        for file in script_files(root / "scripts", "leak/generate")[1:]
    }
    assert not {path for path in used if package(path) in STEPS or "editing" in path.parts}


def test_the_manifests_of_changed_models_watch_what_changes_them(root: Path) -> None:
    """A new manifest has all jobs with the model run again; they do not watch this code themselves."""
    editing = {str(path) for path in (root / "scripts/leakscope/models/editing").glob("[!_]*.py")}
    assert editing <= set(script_files(root / "scripts", "features/make_edit", "models/editing"))
    assert str(root / "scripts/leakscope/models/randomised.py") in script_files(
        root / "scripts", "models/randomise_model"
    )
    assert '"features/make_edit", "models/editing"' in (root / "rules/features/interventions.smk").read_text()
