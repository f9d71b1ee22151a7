"""Unpacking a pack into results, as if made here, so that Snakemake has nothing to do.

A pack is untrusted: names, sizes and contents are checked.
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
# Seconds since 1970, older than any input: Snakemake compares the content of inputs that are newer than an output.
LONG_AGO = 1.0
BETWEEN = 1e-6


class Unpacked(NamedTuple):
    """An unpacked study: its name, the number of files, and the inputs that differ on this machine."""

    study: str
    n_files: int
    others: list[str]


def unpack(path: Path) -> Unpacked:
    """Unpack a study into the working directory; its folder is created atomically.

    Args:
        path: a file written by ``write_pack``.

    Raises:
        InputError: the file is not a pack, might write outside of its folders, or does not match its listing; or the
            working directory already has results of this study, or different models with the same names.
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
    """Return the listing of a pack after checking the archive's members against it."""
    members = {member.filename: member for member in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise InputError(f"{where}: got a file name twice; allowed: {ALLOWED}.")
    for member in members.values():
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or member.is_dir():
            raise InputError(f"{where}: got {member.filename!r}, a link or a folder; allowed: regular files.")
        if member.flag_bits & ENCRYPTED or member.compress_type not in TAKEN:
            raise InputError(f"{where}: got {member.filename!r}, encrypted or recompressed; allowed: {ALLOWED}.")
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
        raise InputError(f"{where}: got {found} of {name!r}; allowed: {said}, as listed in {LISTING}.")
    return listing


def _check_here(listing: Listing, where: str) -> set[str]:
    """Return the names of the files to write; existing models and stored values are not written again.

    Raises:
        InputError: the study or a different model of the same name exists here, or the disk has too little space.
    """
    folder = Path(MADE, listing.study)
    if os.path.lexists(folder):
        raise InputError(
            f"{where}: {folder} exists already; move it away, or unpack the study in another working directory."
        )
    there = {name for name in listing.files if name.startswith((MODELS, STORE)) and os.path.lexists(name)}
    found = Mistakes()
    for name in sorted(there):
        if name.startswith(MODELS) and _digest(name) != listing.files[name].sha256:
            found.append(
                InputError(f"{name}: differs from the file in {where}; move it away, or unpack in another directory.")
            )
    found.end()
    missing = set(listing.files) - there
    n_bytes, free = sum(listing.files[name].n_bytes for name in missing), shutil.disk_usage(Path.cwd()).free
    if n_bytes > free:
        have, need = (f"{size / MEGABYTE:,.0f} MB" for size in (free, n_bytes))
        raise InputError(f"{where}: got {need}, unpacked; allowed: {have}, the free space here.")
    return missing


def _digest(path: str) -> str | None:
    return sha256(Path(path)) if Path(path).is_file() else None


def _times(listing: Listing, others: set[str]) -> dict[str, float]:
    """Return name → modification time to set: now, in the original order of writing.

    Outputs of inputs that differ here get a time long ago, so that Snakemake compares the inputs' content and makes
    these outputs again, even if an intermediate file is not in the pack.
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
            raise InputError(f"{archive.filename}: {name!r} is damaged: it differs from {LISTING}; pack it again.")
    os.utime(path, (written, written))
