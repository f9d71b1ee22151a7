"""What a run has around it: leakscope's version, those of Python and of packages, the machine, the command line.

Of the machine no name is said, nor its user's, and no folder outside of the checkout and the working directory.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from leakscope.errors import InputError
from leakscope.files.finding import CHECKOUT
from leakscope.files.portable import without_places
from leakscope.files.reading import read_utf8
from leakscope.jobs.redaction import HIDDEN, hide, is_secret_name

GPUS = "driver/nvidia/gpus/*/information"
# A name and its value, on a command line or in a value of it: `--api-key=x`, `token=x`, `{token: x}`.
_NAMED = re.compile(r"""([\w.-]+)(\s*[=:]\s*["']?)([^\s,;{}=:"'][^\s,;}"']*)""")


def surroundings() -> dict[str, Any]:
    """Return ``leakscope``, ``python``, ``packages`` and ``machine``; None for what cannot be found out."""
    return {
        "leakscope": own_version(),
        "python": platform.python_version(),
        "packages": _packages(),
        "machine": _machine(),
    }


def own_version() -> dict[str, Any]:
    """Return leakscope's ``version``, ``commit`` and whether files were ``changed`` since; None where git says none."""
    return {"version": _version(), **_commit()}


def sha256_of(path: Path) -> str | None:
    """Return the SHA-256 of a file; None where it is not there."""
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shown_command(arguments: Sequence[str]) -> list[str]:
    """Return a command line as it was given, without secrets and without folders of this machine.

    Args:
        arguments: the program first, of which the name is left.
    """
    # `python -m snakemake` starts snakemake/__main__.py.
    shown = [Path(program.removesuffix("/__main__.py")).name for program in arguments[:1]]
    for before, argument in zip(arguments, arguments[1:], strict=False):
        follows_secret = before.startswith("--") and is_secret_name(before.removeprefix("--"))
        shown.append(HIDDEN if follows_secret else without_places(_NAMED.sub(_hide_value, hide(argument))))
    return shown


def shown_value(value: Any) -> Any:
    """Return plain data without secrets and without folders of this machine."""
    if isinstance(value, Mapping):
        secret = {key for key, item in value.items() if isinstance(item, str) and is_secret_name(str(key))}
        return {str(key): HIDDEN if key in secret else shown_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown_value(item) for item in value]
    if not isinstance(value, str):
        return value
    # A text may begin with a slash and be no path: `/no_think {prompt}`.
    is_place = os.path.isabs(value) and os.path.exists(os.path.dirname(value))
    return without_places(hide(value)) if is_place or str(Path.home()) in value else hide(value)


def _hide_value(match: re.Match[str]) -> str:
    name = match[1].lstrip("-").rpartition(".")[2]
    return f"{match[1]}{match[2]}{HIDDEN}" if is_secret_name(name) else match[0]


def _version() -> str | None:
    """Return the checkout's version: what is installed may be another checkout's."""
    try:
        return str(tomllib.loads(read_utf8(CHECKOUT / "pyproject.toml"))["project"]["version"])
    except (InputError, tomllib.TOMLDecodeError, KeyError):
        return None


def _commit() -> dict[str, Any]:
    """Return ``commit``, and whether files under version control are ``changed``; None without git or history."""
    if _git("rev-parse", "--show-prefix") != "":  # outside of a repository, or below another one's top
        return {"commit": None, "changed": None}
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": _git("rev-parse", "HEAD") or None, "changed": None if changes is None else bool(changes)}


def _git(*arguments: str) -> str | None:
    """Return what git says of the checkout; None where it fails or is missing."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(CHECKOUT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env=own).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _packages() -> dict[str, str]:
    """Return package → version, of those in constraints.txt that are installed."""
    try:
        lines = read_utf8(CHECKOUT / "constraints.txt").splitlines()
    except InputError:
        return {}
    found = {}
    for name in (line.partition("==")[0].strip() for line in lines if "==" in line and not line.startswith("#")):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    """Return ``system``, ``cpus``, ``memory_mb`` and names of ``gpus``, of the machine that plans."""
    try:
        memory_mb = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6)
    except (ValueError, OSError):
        memory_mb = None
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "memory_mb": memory_mb,
        "gpus": _gpus(),
    }


def _gpus() -> list[str]:
    """Return the names of GPUs: by torch where somebody has imported it, else by NVIDIA's driver on Linux."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return [str(torch.cuda.get_device_name(number)) for number in range(torch.cuda.device_count())]
    said = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(Path("/proc").glob(GPUS))]
    return [found[1].strip() for text in said if (found := re.search(r"^Model:(.*)$", text, re.MULTILINE))]
