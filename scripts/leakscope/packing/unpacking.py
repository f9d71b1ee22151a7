"""A pack becomes results again: as if they had been made here, so that Snakemake says that nothing is to be done.

Nothing of a pack is believed before it is checked: neither names nor sizes nor contents.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from leakscope.errors import InputError, Mistakes
from leakscope.files.reading import MEGABYTE, check_regular, in_one_line
from leakscope.files.writing import replacing
from leakscope.packing.contents import MODELS, STORE, sha256
from leakscope.packing.listing import ALLOWED, LISTING, Listing, PackedFile, read_listing
from leakscope.packing.records import MADE, METADATA, local_path, local_record, read_records, write_record

LARGEST_LISTING = 200 * MEGABYTE
READ_AT_ONCE = 2**20
TAKEN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
# In seconds since 1970, before any file of a checkout: Snakemake compares the content of what is newer than an output.
LONG_AGO = 1.0
BETWEEN = 1e-6


class Unpacked(NamedTuple):
    """What was unpacked: the study, the number of its files, and inputs of its results that are others here."""

    study: str
    n_files: int
    others: list[str]


def unpack(path: Path) -> Unpacked:
    """Unpack a study into the working directory. Its folder appears whole or not at all.

    Args:
        path: of what ``write_pack`` wrote.

    Raises:
        InputError: it is no such file, or might write elsewhere, or more than it says; or there are results of a study
            of this name, or other models of these names, here already.
    """
    check_regular(path)
    with in_one_line(path, ALLOWED), zipfile.ZipFile(path) as archive:
        listing = _checked(archive, str(path))
        missing = _check_here(listing, str(path))
        others = sorted(name for name, digest in listing.inputs.items() if _digest(local_path(name)) != digest)
        times = _times(listing, set(others))
        _extract(archive, listing, missing, times)
    return Unpacked(listing.study, len(listing.files), others)


def unpack_some(path: Path, folder: Path, wanted: Callable[[str], bool]) -> Path:
    """Unpack files of a study to look into them, and return the study's folder: no result of this machine changes.

    Args:
        path: of what ``write_pack`` wrote.
        folder: where they go.
        wanted: says of the name of a file in the study's folder whether it is unpacked.

    Raises:
        InputError: it is no such file, or might write elsewhere, or more than it says.
    """
    check_regular(path)
    with in_one_line(path, ALLOWED), zipfile.ZipFile(path) as archive:
        listing = _checked(archive, str(path))
        own = f"{MADE}{listing.study}/"
        for name, file in listing.files.items():
            if name.startswith(own) and wanted(name.removeprefix(own)):
                _write(archive, name, file, folder / name, LONG_AGO)
    return folder / own


def _checked(archive: zipfile.ZipFile, where: str) -> Listing:
    """Return what a pack says of itself, after its members were found to be that."""
    members = {member.filename: member for member in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise InputError(f"{where}: got a name twice; allowed: {ALLOWED}.")
    for member in members.values():
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or member.is_dir():
            raise InputError(f"{where}: got {member.filename!r}, a link or a folder; allowed: regular files.")
        if member.flag_bits & ENCRYPTED or member.compress_type not in TAKEN:
            raise InputError(f"{where}: got {member.filename!r}, encrypted or packed otherwise; allowed: {ALLOWED}.")
    if LISTING not in members:
        raise InputError(f"{where}: got no {LISTING} in it; allowed: {ALLOWED}.")
    if members[LISTING].file_size > LARGEST_LISTING:
        raise InputError(f"{where}: got a {LISTING} of more than {LARGEST_LISTING // MEGABYTE} MB; allowed: {ALLOWED}.")
    with archive.open(LISTING, mode="r") as stream:
        listing = read_listing(stream.read(LARGEST_LISTING).decode(), where)
    sizes = {name: member.file_size for name, member in members.items() if name != LISTING}
    listed = {name: file.n_bytes for name, file in listing.files.items()}
    if sizes != listed:
        name = min(dict(sizes.items() ^ listed.items()))
        found, said = (f"{size[name]:,} bytes" if name in size else "nothing" for size in (sizes, listed))
        raise InputError(f"{where}: got {found} of {name!r}; allowed: what {LISTING} says, {said}.")
    return listing


def _check_here(listing: Listing, where: str) -> set[str]:
    """Return the names of the files to write; models and stored values that are here already are not written.

    Raises:
        InputError: something else is here, or there is no room.
    """
    folder = Path(MADE, listing.study)
    if os.path.lexists(folder):
        raise InputError(
            f"{where}: got the study {listing.study!r}, and {folder} is here; allowed: a folder without it."
        )
    there = {name for name in listing.files if name.startswith((MODELS, STORE)) and os.path.lexists(name)}
    found = Mistakes()
    for name in sorted(there):
        if name.startswith(MODELS) and _digest(name) != listing.files[name].sha256:
            found.append(
                InputError(f"{name}: got another file than {where} has; allowed: a folder without this model.")
            )
    found.end()
    missing = set(listing.files) - there
    n_bytes, free = sum(listing.files[name].n_bytes for name in missing), shutil.disk_usage(Path.cwd()).free
    if n_bytes > free:
        have, need = (f"{size / MEGABYTE:,.0f} MB" for size in (free, n_bytes))
        raise InputError(f"{where}: got {need}, unpacked; allowed: the {have} that are free here.")
    return missing


def _digest(path: str) -> str | None:
    return sha256(Path(path)) if Path(path).is_file() else None


def _times(listing: Listing, others: set[str]) -> dict[str, float]:
    """Return name → when the file counts as written: now, in the order in which all were.

    What was made from files that are others here was written long ago: so Snakemake compares their content, and makes
    it anew. That a file between them is not in the pack does not keep it from that.
    """
    made_anew = {name for name, record in listing.records.items() if not others.isdisjoint(record.get("input", ()))}
    while True:
        absent = made_anew - set(listing.files)
        after = {name for name, record in listing.records.items() if not absent.isdisjoint(record.get("input", ()))}
        if after <= made_anew:
            break
        made_anew |= after
    now = time.time()
    return {
        name: (LONG_AGO if name in made_anew else now) + file.order * BETWEEN for name, file in listing.files.items()
    }


def _extract(archive: zipfile.ZipFile, listing: Listing, missing: set[str], times: Mapping[str, float]) -> None:
    """Write files and records; the folder of the study last."""
    folder = Path(MADE, listing.study)
    new = folder.with_name(f".{listing.study}.unpacking")
    shutil.rmtree(new, ignore_errors=True)
    try:
        for name in sorted(missing):
            own = name.removeprefix(f"{MADE}{listing.study}/")
            _write(archive, name, listing.files[name], Path(name) if own == name else new / own, times[name])
        known = read_records(METADATA) if any(name.startswith(MODELS) for name in listing.records) else {}
        for name, record in listing.records.items():
            if name in missing or name not in known:
                write_record(name, local_record(record))
        os.rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _write(archive: zipfile.ZipFile, name: str, file: PackedFile, path: Path, written: float) -> None:
    digest, left = hashlib.sha256(), file.n_bytes
    with replacing(path) as part, archive.open(name, mode="r") as packed, part.open("wb") as stream:
        while block := packed.read(min(READ_AT_ONCE, left + 1)):
            digest.update(block)
            left -= len(block)
            if left < 0:
                break
            stream.write(block)
        if left or digest.hexdigest() != file.sha256:
            raise InputError(f"{archive.filename}: got another content of {name!r} than {LISTING} says; pack it again.")
    os.utime(path, (written, written))
