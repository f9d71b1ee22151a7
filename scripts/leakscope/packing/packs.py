"""Packing a study's results into a zip: tables, pages and figures; on request also models and stored values.

Equal results give equal bytes of each member: names are sorted, times are constant, ``pack.json`` is the last member.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from leakscope.errors import InputError, one_of
from leakscope.files.reading import read_utf8
from leakscope.files.writing import replacing
from leakscope.jobs.redaction import hide
from leakscope.packing.contents import HEAVY, behind, model_files, sha256, stored_files, study_files
from leakscope.packing.listing import LISTING, Listing, PackedFile, check_name
from leakscope.packing.records import MADE, Record, local_path, portable_record, read_records

WITH = ("models", "store")
# Name of the study's configuration file, if the results have none.
STUDY_FILE = "study.yaml"
# The earliest time that zip can store.
NO_TIME = (1980, 1, 1, 0, 0, 0)
READ_AT_ONCE = 2**20


class Pack(NamedTuple):
    """A written pack: its path, the number of its files and their uncompressed size in bytes."""

    path: Path
    n_files: int
    n_bytes: int


def write_pack(study: str, with_: Collection[str] = (), study_file: Path | None = None) -> Pack:
    """Write ``results/<study>.zip`` in the working directory.

    Args:
        study: name of the study.
        with_: ``models`` adds weights, the study's own and those it uses in results/models/; ``store`` adds stored
            values.
        study_file: the study's configuration file; omitted if it contains a likely secret.

    Raises:
        InputError: there are no results, or ``with_`` has an unknown name.
    """
    for name in with_:
        if name not in WITH:
            raise one_of("WITH", name, WITH)
    records, own = read_records(), study_files(study)
    if not own:
        raise InputError(f"{MADE}{study}: got no results; allowed: a study that was run (`make run`).")
    made_from = behind(own, records)
    files = own if "models" in with_ else {name: path for name, path in own.items() if path.suffix != HEAVY}
    files |= model_files(made_from) if "models" in with_ else {}
    files |= stored_files(study) if "store" in with_ else {}
    if study_file is not None and _is_public(study_file):
        files.setdefault(f"{MADE}{study}/{STUDY_FILE}", study_file)
    # Includes records of omitted models, so that Snakemake knows that they are unchanged.
    made = {name: records[name] for name in made_from if name in records}
    return _write(Path(MADE, f"{study}.zip"), study, files, made)


def _write(path: Path, study: str, files: Mapping[str, Path], records: Mapping[str, Record]) -> Pack:
    for name in files:
        check_name(name, study, str(path))
    places = {time: place for place, time in enumerate(sorted({file.stat().st_mtime_ns for file in files.values()}))}
    packed = {}
    with replacing(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, file in sorted(files.items()):
            order = places.get(file.stat().st_mtime_ns, len(places))
            packed[name] = _add(archive, name, file, order)
        made = {name: portable_record(record) for name, record in records.items()}
        listing = Listing(study, packed, made, _inputs(made.values()))
        archive.writestr(_member(LISTING), listing.text().encode())
    return Pack(path, len(packed), sum(file.n_bytes for file in packed.values()))


def _add(archive: zipfile.ZipFile, name: str, path: Path, order: int) -> PackedFile:
    digest, n_bytes = hashlib.sha256(), 0
    member = _member(name)
    with path.open("rb") as stream, archive.open(member, mode="w", force_zip64=True) as packed:
        while block := stream.read(READ_AT_ONCE):
            digest.update(block)
            n_bytes += len(block)
            packed.write(block)
    return PackedFile(n_bytes, digest.hexdigest(), order)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, NO_TIME)
    member.external_attr = 0o644 << 16
    # Compressing weights takes long and saves little.
    member.compress_type = zipfile.ZIP_STORED if name.endswith(HEAVY) else zipfile.ZIP_DEFLATED
    return member


def _inputs(records: Iterable[Record]) -> dict[str, str]:
    """Return portable path → SHA-256 of all existing inputs outside of results/."""
    names = {name for record in records for name in record.get("input") or [] if not name.startswith(MADE)}
    paths = {name: Path(local_path(name)) for name in sorted(names)}
    return {name: sha256(path) for name, path in paths.items() if path.is_file()}


def _is_public(path: Path) -> bool:
    text = read_utf8(path)
    return hide(text) == text
