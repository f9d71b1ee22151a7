"""Which files decide what a rule computes: its entry script and every library module that it imports.

Snakemake watches a rule's script, not what the script imports; as inputs these files are watched by content.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

PACKAGE = "leakscope"
# Modules that decide what is said to people, and no byte of a result: a better message need not train a model again.
UNWATCHED = frozenset(
    {
        *("errors.py", "jobs/job.py", "jobs/progress.py", "jobs/redaction.py", "jobs/usage.py"),
        *("typed/mistakes.py", "typed/schema.py", "typed/wording.py"),
    }
)
# What opening a model imports for edited, mitigated and randomised ones only. Rules that write the manifests of these
# watch it: a new manifest has all jobs with such a model run again, and jobs with other models do not run for it.
OPENING, OF_MANIFESTS = (
    "models/opening.py",
    (
        *("models/editing/", "models/mitigating/"),
        "models/randomised.py",
    ),
)
# A module that reads files of the checkout which no rule names, and where these are.
READING, READ = "languages/language_files.py", "data/languages/*.yaml"
IMPORT = re.compile(
    rf"^\s*(?:from ({PACKAGE}[\w.]*) import (\([^)]*\)|[^\n#]+)|import ({PACKAGE}[\w.]*))", re.MULTILINE
)
WORD = re.compile(r"\w+")


def imported_first_by_jobs(scripts: Path) -> None:
    """Let processes that are started from now on import the library from ``scripts``.

    Otherwise jobs would import the one that is installed, which in a shared environment may be another checkout's.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(scripts), os.environ.get("PYTHONPATH"))))


def script_files(scripts: Path, rule: str, *packages: str) -> list[str]:
    """Return the path of ``scripts/<rule>.py`` and of all library modules it imports, directly or not, sorted.

    Imports inside functions count. The package's own ``__init__`` holds no code and is left out, and so are what
    ``UNWATCHED`` names and what opening a model imports by the model's manifest (``OF_MANIFESTS``).

    Args:
        scripts: the folder of entry scripts and library.
        rule: with its step, ``leak/generate``, say.
        packages: of the library, whose modules count whether they are imported or not.
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
    """Return the files of the checkout that modules read and no rule names, sorted: those of languages.

    Args:
        scripts: the folder of entry scripts and library.
        modules: as ``script_files`` returns them.
    """
    reads = str(scripts / PACKAGE / READING) in modules
    return sorted(map(str, scripts.parent.glob(READ))) if reads else []


@cache
def _watched(path: Path, scripts: Path) -> tuple[Path, ...]:
    """Return those of a file's imports that decide what it computes."""
    library = scripts / PACKAGE
    imported = {module.relative_to(library).as_posix(): module for module in imported_modules(path, scripts)}
    left_out = OF_MANIFESTS if path == library / OPENING else ()
    return tuple(file for name, file in imported.items() if name not in UNWATCHED and not name.startswith(left_out))


def question(script: Path) -> str:
    """Return the first line of a script's docstring: the question that it answers."""
    with script.open(encoding="utf-8") as lines:
        return next(lines).strip().strip('"')


@cache
def imported_modules(path: Path, scripts: Path) -> tuple[Path, ...]:
    """Return the library files that one file imports.

    Read by a pattern: every run of Snakemake, and every job on a cluster, looks at all files, and parsing them took a
    sixth of the time to plan. A test holds the pattern to what the parser says of each file.
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
    # By texts: some thousand paths are looked up, most of them of names that are no module.
    return next((Path(path) for path in (f"{base}.py", f"{base}/__init__.py") if os.path.exists(path)), None)
