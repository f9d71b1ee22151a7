"""A pack is taken to another checkout or folder, and there nothing is to be done; what is no pack writes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.persistence.file import FilePersistence

from leakscope.errors import InputError
from leakscope.packing import records
from leakscope.packing.contents import behind
from leakscope.packing.listing import Listing, PackedFile
from leakscope.packing.packs import write_pack
from leakscope.packing.records import METADATA, local_record, portable_record, read_records, write_record
from leakscope.packing.unpacking import LONG_AGO, _times, unpack
from test_reruns import AFTER_PROMPTS, jobs
from workspace import Workspace

SECRET = "c4ught-in-the-act-99"


def script(checkout: Path, name: str, *arguments: str) -> str:
    """Run a script of a checkout in it and return what it printed."""
    command = [sys.executable, str(checkout / f"scripts/{name}.py"), *arguments]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def packed(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The micro study as a pack, ``tables``, and with models and store, ``whole``."""
    workspace = finished.copy(tmp_path_factory.mktemp("packed") / "checkout")
    workspace.write("mine.yaml", workspace.study)
    packs = {}
    for name, with_ in (("tables", ""), ("whole", "models store")):
        said = script(workspace.folder, "pack", "results/micro", "--study=mine.yaml", f"--with={with_}")
        assert said.startswith("results/micro.zip: ")
        packs[name] = (workspace.folder / "results/micro.zip").rename(workspace.folder / f"{name}.zip")
    return packs


@pytest.fixture
def other(tmp_path: Path) -> Workspace:
    """Another checkout of the same content, newer than the packs; no job can run in it unseen."""
    workspace = Workspace(tmp_path / "other")
    workspace.study["study"]["scorers"] = ["lexical", "sbert-minilm"]
    return workspace


def planned(workspace: Workspace, *arguments: str) -> dict[str, int]:
    return jobs(workspace.run("-n", *arguments).stdout)


@pytest.mark.workflow
@pytest.mark.parametrize("name", ["tables", "whole"])
def test_after_unpacking_nothing_is_to_be_done_in_another_checkout_or_in_a_folder(
    packed: Mapping[str, Path], name: str, other: Workspace, finished: Workspace, tmp_path: Path
) -> None:
    said = script(other.folder, "unpack", str(packed[name]))
    assert said == f"results/micro: {len(members(packed[name])) - 1} files.\n"
    for file in ("explorer.html", "match_rates.csv", "figures/match_rates.pdf", "provenance.json"):
        was = (finished.folder / "results/micro" / file).read_bytes()
        assert (other.folder / "results/micro" / file).read_bytes() == was
    assert yaml.safe_load((other.folder / "results/micro/study.yaml").read_text()) == finished.study
    assert (other.folder / "results/models").exists() == (name == "whole")
    assert planned(other) == {}

    folder = tmp_path / "a folder"
    script(other.folder, "unpack", str(packed[name]), f"--directory={folder}")
    assert planned(other, "--directory", str(folder)) == {}

    # What is packed there is what was unpacked there, to the byte, records with their paths included.
    with_ = "models store" if name == "whole" else ""
    script(other.folder, "pack", "results/micro", f"--directory={folder}", f"--with={with_}")
    assert members(folder / "results/micro.zip") == members(packed[name])


@pytest.mark.workflow
def test_what_is_otherwise_in_the_other_checkout_runs_again_and_nothing_else(
    packed: Mapping[str, Path], other: Workspace, tmp_path: Path
) -> None:
    templates = other.folder / "data/prompt_sets/micro/templates.yaml"
    templates.write_text(templates.read_text("utf-8").replace("The bag is old. I ate", "The bag is heavy. I ate", 1))
    os.utime(templates, (100, 100))  # its date says nothing
    said = script(other.folder, "unpack", str(packed["whole"]))
    assert "1 of the files that they were made from are others or missing, such as data/prompt_sets/micro/" in said
    assert planned(other) == {**AFTER_PROMPTS}
    other.run("--cores", "2", "results/micro/generations/tiny-l100/micro.parquet")
    summary = json.loads((other.folder / "results/micro/generations/tiny-l100/micro.json").read_text("utf-8"))
    assert (summary["reused"], summary["computed"]) == (51, 3)

    # Without the models these are trained again, since something is to be asked of them.
    folder = tmp_path / "a folder"
    script(other.folder, "unpack", str(packed["tables"]), f"--directory={folder}")
    trained = {"train_tokenizer": 1, "write_corpus": 2, "train_organism": 2, "describe_organisms": 1}
    assert planned(other, "--directory", str(folder)) == {**AFTER_PROMPTS, **trained}


@pytest.mark.workflow
def test_a_pack_says_nothing_of_the_machine(packed: Mapping[str, Path], finished: Workspace) -> None:
    whole = members(packed["whole"])
    assert not any("/logs/" in name for name in whole)
    places = (str(finished.folder), str(packed["whole"].parent), str(Path.home()))
    assert [place for place in places if place in whole["pack.json"].decode()] == []
    stored = [name for name in whole if name.startswith("results/store/texts/") and name.endswith(".jsonl")]
    assert len(stored) == 2
    with zipfile.ZipFile(packed["whole"]) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


# Records.


def test_records_are_where_snakemake_looks_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    persistence = FilePersistence.__new__(FilePersistence)
    persistence._max_len = None
    names = ["results/x/a.csv", f"results/x/{'long ' * 80}.csv", "results/x/ä?>.csv"]
    for number, name in enumerate(names):
        write_record(name, {"rule": str(number)})
        path = Path(persistence._record_path(str(METADATA), name))
        assert json.loads(path.read_text())["rule"] == str(number)
    assert {name: record["rule"] for name, record in read_records().items()} == dict(zip(names, "012", strict=True))


def test_paths_in_records_are_those_of_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout, folder, home = tmp_path / "checkout", tmp_path / "folder", tmp_path / "home"
    for path in (checkout / "data", checkout / "scripts", folder / "data", home / "models"):
        path.mkdir(parents=True)
    (checkout / "data/theirs.csv").touch()
    (folder / "data/own.csv").touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MY_TOKEN", SECRET)
    for module in (records, records.portable.__module__, records.found.__module__):
        target = module if not isinstance(module, str) else sys.modules[module]
        if hasattr(target, "CHECKOUT"):
            monkeypatch.setattr(target, "CHECKOUT", checkout)
    monkeypatch.chdir(folder)
    here = {
        "input": sorted(
            [f"{checkout}/data/theirs.csv", f"{checkout}/scripts/a.py", "data/own.csv", f"{home}/m", "results/x"]
        ),
        "params": sorted([repr({"path": f"{checkout}/data/theirs.csv", "n": 1}), repr("no/path {x}"), repr(SECRET)]),
        "input_checksums": {f"{checkout}/scripts/a.py": "sha256:1"},
    }
    told = portable_record(here)
    assert set(told["input"]) == {"data/theirs.csv", "scripts/a.py", "data/own.csv", "~/m", "results/x"}
    assert set(told["params"]) == {repr({"path": "data/theirs.csv", "n": 1}), repr("no/path {x}"), repr("***")}
    assert told["input_checksums"] == {"scripts/a.py": "sha256:1"}
    back = local_record(told)
    assert (back["input"], back["input_checksums"]) == (here["input"], here["input_checksums"])
    assert set(back["params"]) == {*here["params"]} - {repr(SECRET)} | {repr("***")}
    monkeypatch.chdir(checkout)
    assert set(local_record(told)["input"]) == {
        "data/theirs.csv",
        "scripts/a.py",
        "data/own.csv",
        f"{home}/m",
        "results/x",
    }


def test_what_a_file_was_made_from_is_followed_through_all_that_its_jobs_made() -> None:
    made = {
        "table": {"rule": "t", "input": ["manifest"], "log": ["t.log"]},
        "manifest": {"rule": "train", "input": ["corpus"], "log": ["a.log"]},
        "weights": {"rule": "train", "input": ["corpus"], "log": ["a.log"]},
        "other weights": {"rule": "train", "input": ["corpus"], "log": ["b.log"]},
    }
    assert behind(["table"], made) == {"table", "manifest", "weights", "corpus"}


def test_what_a_changed_file_decides_counts_as_old_across_what_is_not_in_the_pack() -> None:
    made = {
        "corpus": {"input": ["grammar"]},
        "weights": {"input": ["corpus"]},
        "texts": {"input": ["weights", "prompts"]},
        "prompts": {"input": ["templates"]},
    }
    files = {name: PackedFile(1, "0" * 64, order) for order, name in enumerate(("prompts", "texts"))}
    times = _times(Listing("x", files, made, {}), {"grammar"})
    assert times["texts"] < LONG_AGO + 1 < times["prompts"]
    times = _times(Listing("x", files, made, {}), set())
    assert LONG_AGO + 1 < times["prompts"] < times["texts"]


# What is packed.


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of a study ``x``, made by nobody."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results/x"
    (folder / "logs").mkdir(parents=True)
    (folder / "features").mkdir()
    for name in ("a.csv", "logs/a.log", "features/w.safetensors", ".a.csv.0.part", "half.csv"):
        (folder / name).write_text(name)
    write_record("results/x/half.csv", {})
    (tmp_path / ".snakemake/incomplete").rmdir()
    METADATA.rename(tmp_path / ".snakemake/incomplete")
    return folder


def test_logs_half_written_files_and_weights_are_left_out(results: Path) -> None:
    assert set(members(write_pack("x").path)) == {"results/x/a.csv", "pack.json"}
    assert set(members(write_pack("x", ["models"]).path)) == {
        "results/x/a.csv", "results/x/features/w.safetensors", "pack.json"
    }  # fmt: skip


def test_the_studys_file_goes_along_unless_it_holds_a_secret(results: Path, tmp_path: Path) -> None:
    study = tmp_path / "mine.yaml"
    study.write_text("study: {name: x}\n")
    assert members(write_pack("x", study_file=study).path)["results/x/study.yaml"] == study.read_bytes()
    study.write_text(f"url: https://eve:{SECRET}@example.org/v1\n")
    assert "results/x/study.yaml" not in members(write_pack("x", study_file=study).path)


def test_equal_results_give_equal_bytes(results: Path) -> None:
    first = write_pack("x").path.read_bytes()
    later = (results / "a.csv").stat().st_mtime + 100
    os.utime(results / "a.csv", (later, later))
    assert write_pack("x").path.read_bytes() == first


def test_what_cannot_be_packed_is_one_line(results: Path) -> None:
    with pytest.raises(InputError, match=r"^results/y: got no results; allowed: a study that was run"):
        write_pack("y")
    with pytest.raises(InputError, match=r"^WITH: got 'weights'; allowed: models, store\.$"):
        write_pack("x", ["weights"])


# What is refused.


def listing(files: Mapping[str, bytes], **more: Any) -> dict[str, Any]:
    said = {
        name: {"n_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "order": 0}
        for name, data in files.items()
    }
    return {"format": 1, "study": "x", "files": said, "records": {}, "inputs": {}, **more}


def write_zip(path: Path, files: Mapping[str, bytes], said: Any = None, mode: int = 0o644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, "pack.json": json.dumps(said or listing(files)).encode()}.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


GOOD = {"results/x/a.csv": b"1"}
STORED = f"results/store/texts/{'a' * 64}/b.jsonl"


def test_a_pack_by_hand_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = unpack(write_zip(tmp_path / "p.zip", {**GOOD, STORED: b"2", "results/models/m/config.json": b"{}"}))
    assert (found.study, found.n_files, found.others) == ("x", 3, [])
    assert Path("results/x/a.csv").read_bytes() == b"1"
    assert Path(STORED).read_bytes() == b"2"
    assert Path("results/models/m/config.json").read_bytes() == b"{}"


Hostile = Callable[[Path], object]
HOSTILE: dict[str, tuple[Hostile, str]] = {
    "an absolute path": (lambda path: write_zip(path, {"/etc/x": b""}), "got the name '/etc/x'; allowed: names below"),
    "a way up": (lambda path: write_zip(path, {"results/x/../../up": b""}), "got the name 'results/x/../../up'"),
    "a way up by backslashes": (lambda path: write_zip(path, {"results/x/..\\up": b""}), "got the name"),
    "another study": (lambda path: write_zip(path, {"results/y/a.csv": b""}), "got the name 'results/y/a.csv'"),
    "no file of a store": (lambda path: write_zip(path, {"results/store/x": b""}), "got the name 'results/store/x'"),
    "a study that is none": (
        lambda path: write_zip(path, {"results/models/a": b""}, listing({"results/models/a": b""}, study="models")),
        "got the study 'models'; allowed: the name of a study",
    ),
    "nothing of the study": (
        lambda path: write_zip(path, {"results/models/a": b""}),
        "got no file of the study 'x'; allowed: a zip that `make pack` wrote",
    ),
    "a record elsewhere": (
        lambda path: write_zip(path, GOOD, listing(GOOD, records={"../x": {}})),
        "got the name '../x'",
    ),
    "a record of other types": (
        lambda path: write_zip(path, GOOD, listing(GOOD, records={"results/x/a.csv": {"input": [1]}})),
        "got a record with input [1]; allowed: a zip that `make pack` wrote",
    ),
    "a link": (
        lambda path: write_zip(path, {"results/x/a.csv": b"/etc/passwd"}, mode=stat.S_IFLNK | 0o777),
        "a link or a folder; allowed: regular files",
    ),
    "no listing": (lambda path: zipfile.ZipFile(path, "w").close(), "got no pack.json in it"),
    "no zip": (lambda path: path.write_bytes(b"PK but no more"), "got File is not a zip file; allowed: a zip that"),
    "a listing that is none": (lambda path: write_zip(path, GOOD, ["x"]), "got the format 'list'; allowed: 1"),
    "a newer form": (lambda path: write_zip(path, GOOD, listing(GOOD, format=2)), "got the format 2; allowed: 1"),
    "a file that the listing lacks": (
        lambda path: write_zip(path, {**GOOD, "results/x/b": b"12"}, listing(GOOD)),
        "got 2 bytes of 'results/x/b'; allowed: nothing, as listed in pack.json.",
    ),
    "a file that is larger than listed": (
        lambda path: write_zip(path, {"results/x/a.csv": bytes(10**7)}, listing(GOOD)),
        "got 10,000,000 bytes of 'results/x/a.csv'; allowed: 1 bytes, as listed in pack.json.",
    ),
    "another content": (
        lambda path: write_zip(path, {"results/x/a.csv": b"2"}, listing(GOOD)),
        "'results/x/a.csv' is damaged: it differs from pack.json",
    ),
    "a size below zero": (
        lambda path: write_zip(
            path, GOOD, {**listing(GOOD), "files": {"results/x/a.csv": {"n_bytes": -1, "sha256": "0" * 64, "order": 0}}}
        ),
        "got -1 bytes at place 0",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_pack_is_one_line_and_writes_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, said = HOSTILE[kind]
    make(tmp_path / "p.zip")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError) as error:
        unpack(tmp_path / "p.zip")
    assert said in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "p.zip"))
    assert len(str(error.value).splitlines()) == 1
    left = [path for path in (tmp_path / "here").rglob("*") if path.name != "results"]
    assert left == []
    assert {path.name for path in tmp_path.iterdir()} == {"here", "p.zip"}


def test_a_zip_that_was_cut_or_changed_at_any_byte_is_one_line_or_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_zip(tmp_path / "p.zip", GOOD).read_bytes()
    monkeypatch.chdir(tmp_path)
    for at in range(0, len(data), 7):
        for number, changed in enumerate((data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])):
            folder = tmp_path / f"{at}-{number}"
            folder.mkdir()
            monkeypatch.chdir(folder)
            (tmp_path / "changed.zip").write_bytes(changed)
            try:
                unpack(tmp_path / "changed.zip")
            except InputError as error:
                assert len(str(error).splitlines()) == 1  # noqa: PT017
                assert not Path("results/x").exists()
            else:
                assert Path("results/x/a.csv").read_bytes() == b"1"


def test_results_and_models_that_are_here_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pack = write_zip(tmp_path / "p.zip", {**GOOD, STORED: b"2", "results/models/m/a.json": b"{}"})
    mine = {"results/x/own.csv": "mine", STORED: "other", "results/models/m/a.json": "[]"}
    for name, text in mine.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    with pytest.raises(InputError, match=r"results/x exists already; move it away, or unpack the study in another"):
        unpack(pack)
    Path("results/x/own.csv").unlink()
    Path("results/x").rmdir()
    with pytest.raises(InputError, match=r"^results/models/m/a.json: differs from the file in .*; move it away"):
        unpack(pack)
    assert not Path("results/x").exists()
    Path("results/models/m/a.json").write_text("{}")
    unpack(pack)
    assert Path(STORED).read_text() == "other"
    assert Path("results/x/a.csv").read_text() == "1"


def test_what_needs_more_room_than_there_is_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 0}))
    with pytest.raises(InputError, match=r"got 0 MB, unpacked; allowed: 0 MB, the free space here\.$"):
        unpack(write_zip(tmp_path / "p.zip", GOOD))
    assert not Path("results").exists()
