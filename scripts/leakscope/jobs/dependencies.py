"""The code that determines a rule's outputs: its entry script and every library module that it imports.

Snakemake watches a rule's script but not the script's imports; as inputs, these files are watched by content.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

PACKAGE = "leakscope"
# Modules that affect messages but no results: a better message must not retrain a model.
UNWATCHED = frozenset(
    {
        *("errors.py", "jobs/job.py", "jobs/progress.py", "jobs/redaction.py", "jobs/usage.py"),
        *("typed/mistakes.py", "typed/schema.py", "typed/wording.py"),
    }
)
# Modules that are imported only to open edited, mitigated and randomised models. Only the rules that write these
# models' manifests watch them: a new manifest reruns the jobs with such a model, and no others.
OPENING, OF_MANIFESTS = (
    "models/opening.py",
    (
        *("models/editing/", "models/mitigating/"),
        "models/randomised.py",
    ),
)
# A module that reads files of the checkout which no rule names, and these files.
READING, READ = "languages/language_files.py", "data/languages/*.yaml"
IMPORT = re.compile(
    rf"^\s*(?:from ({PACKAGE}[\w.]*) import (\([^)]*\)|[^\n#]+)|import ({PACKAGE}[\w.]*))", re.MULTILINE
)
WORD = re.compile(r"\w+")


def imported_first_by_jobs(scripts: Path) -> None:
    """Make processes started from now on import the library from ``scripts``.

    Otherwise jobs would import the installed library, which in a shared environment may be another checkout's.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(scripts), os.environ.get("PYTHONPATH"))))


def script_files(scripts: Path, rule: str, *packages: str) -> list[str]:
    """Return the path of ``scripts/<rule>.py`` and of all library modules it imports, directly or not, sorted.

    Imports inside functions count. The package's own ``__init__`` (no code), ``UNWATCHED`` and ``OF_MANIFESTS`` are
    left out.

    Args:
        scripts: the folder of entry scripts and library.
        rule: the rule with its step, such as ``leak/generate``.
        packages: library packages whose modules are all included, imported or not.
    """
    library = scripts / PACKAGE
    entry = scripts / f"{rule}.py"
    watched: set[Path] = set()
    pending = [entry, *(path for package in packages for path in (library / package).glob("[!_]*.py"))]
    while pending:
        path = pending.pop()
        if path not in watched:
            watched.add(path)
            pending += _watched(path, scripts)
    return [str(entry), *sorted(str(path) for path in watched - {entry})]


def data_files(scripts: Path, modules: Collection[str]) -> list[str]:
    """Return the checkout's data files that the modules read without a rule naming them (languages), sorted.

    Args:
        scripts: the folder of entry scripts and library.
        modules: from ``script_files``.
    """
    reads = str(scripts / PACKAGE / READING) in modules
    return sorted(map(str, scripts.parent.glob(READ))) if reads else []


@cache
def _watched(path: Path, scripts: Path) -> tuple[Path, ...]:
    """Return the imports of a file that affect its results."""
    library = scripts / PACKAGE
    imported = {module.relative_to(library).as_posix(): module for module in imported_modules(path, scripts)}
    left_out = OF_MANIFESTS if path == library / OPENING else ()
    return tuple(file for name, file in imported.items() if name not in UNWATCHED and not name.startswith(left_out))


def question(script: Path) -> str:
    """Return the first line of a script's docstring, the question that the script answers."""
    with script.open(encoding="utf-8") as lines:
        return next(lines).strip().strip('"')


@cache
def imported_modules(path: Path, scripts: Path) -> tuple[Path, ...]:
    """Return the library files that one file imports.

    Imports are found with a regular expression: every run of Snakemake and every job on a cluster reads all files, and
    parsing them took a sixth of the planning time. A test compares the expression with the parser on each file.
    """
    names: list[str] = []
    for module, imported, alone in IMPORT.findall(path.read_text(encoding="utf-8")):
        # `from leakscope import x` names a module too; a name that is no module has no file and drops out below.
        names += [alone] if alone else [module, *(f"{module}.{name}" for name in WORD.findall(imported))]
    files = (_file(name, scripts) for name in names if name.startswith(f"{PACKAGE}."))
    return tuple(file for file in files if file is not None)


@cache
def _file(module: str, scripts: Path) -> Path | None:
    base = f"{scripts}/{module.replace('.', '/')}"
    # As strings, for speed: thousands of paths are looked up, most of them for names that are not modules.
    return next((Path(path) for path in (f"{base}.py", f"{base}/__init__.py") if os.path.exists(path)), None)
