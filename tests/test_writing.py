"""A file has the mode that ``open()`` gives under the user's umask, whoever wrote it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from leakscope.features.dictionaries.activations import Activations, write_activations
from leakscope.figures.style import save_figure
from leakscope.files.tables import write_csv, write_table
from leakscope.files.writing import DAY_SECONDS, replacing, share_weights, shared_like, sweep
from leakscope.models.tuning.trainer import Checkpoint
from leakscope.organisms.corpus import write_corpus
from leakscope.storage.manifests import write_manifest
from leakscope.storage.store import Store, turn
from leakscope.storage.upkeep import compact, survey
from leakscope.web.pages import write_page

EXPECTED = {0o077: 0o600, 0o022: 0o644, 0o002: 0o664}


@pytest.fixture(params=EXPECTED, ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def activations() -> Activations:
    fields = {name: torch.zeros(1, 2) for name in Activations._fields}
    return Activations(**fields)


def store_value(path: Path) -> None:
    Store(path, {"kind": "texts"}).append({("a",): 1})


WRITERS: dict[str, Callable[[Path], object]] = {
    "page.html": lambda path: write_page(path, "<p>"),
    "table.parquet": lambda path: write_table(pd.DataFrame({"a": [1]}), path),
    "table.csv": lambda path: write_csv(pd.DataFrame({"a": [1]}), path),
    "manifest.json": lambda path: write_manifest({}, path),
    "corpus.jsonl": lambda path: write_corpus([], path),
    "activations.safetensors": lambda path: write_activations(activations(), path),
    "checkpoint.pt": lambda path: Checkpoint(path.parent, path.stem).write({"step": 1}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_whole_has_the_mode_of_any_new_file(tmp_path: Path, umask: int, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert {path.name: mode(path) for path in tmp_path.iterdir()} == {name: EXPECTED[umask]}


def test_figures_have_the_mode_of_any_new_file(tmp_path: Path, umask: int) -> None:
    save_figure(Figure(), tmp_path / "figure.pdf", tmp_path / "figure.png")
    assert {mode(path) for path in tmp_path.iterdir()} == {EXPECTED[umask]}


def test_a_store_and_its_lock_are_for_whom_the_umask_says(tmp_path: Path, umask: int) -> None:
    store_value(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3  # values, fingerprint, lock
    assert {mode(path) for path in files} == {EXPECTED[umask]}


def test_a_store_that_a_group_may_write_to_stays_the_groups_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(0o2770)
    store_value(folder)
    store_value(folder)  # a second file, by another job
    with turn(folder, "asking"):
        compact(survey(folder, [])[0])
    made = list(folder.rglob("*"))
    others = 0o777 & ~umask & 0o007
    assert {mode(path) for path in made if path.is_dir()} == {0o2770 | others}
    assert sorted(path.suffix for path in made if path.is_file()) == ["", ".json", ".jsonl", ".lock"]
    assert {mode(path) for path in made if path.is_file()} == {0o660 | (others & 0o666)}
    assert os.umask(umask) == umask


def test_a_folder_of_ones_own_shares_nothing(tmp_path: Path) -> None:
    for name, bits in (("mine", 0o755), ("missing", None)):
        if bits:
            (tmp_path / name).mkdir(mode=bits)
        before = os.umask(0o027)
        try:
            with shared_like(tmp_path / name):
                (tmp_path / "file").touch()
                assert mode(tmp_path / "file") == 0o640
        finally:
            os.umask(before)
        (tmp_path / "file").unlink()


def test_weights_of_a_library_that_keeps_them_for_their_owner_are_shared(tmp_path: Path, umask: int) -> None:
    weights = tmp_path / "model.safetensors"
    weights.touch(0o600)
    share_weights(tmp_path)
    assert {path.name: mode(path) for path in tmp_path.iterdir()} == {weights.name: EXPECTED[umask]}


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as part:
            part.write_text("new")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


KILLED_WRITER = """
import sys
from pathlib import Path
from leakscope.files.writing import replacing

with replacing(Path(sys.argv[1])) as part:
    part.write_text("half of it")
    print("written", flush=True)
    sys.stdin.read()
"""
HALF_WRITTEN = ".a.txt.{machine}-{process}-0123abcd.part"


def killed_writers(paths: list[Path]) -> None:
    """Begin to write files, each in a process of its own, all at once, and kill these by SIGKILL."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    writers = [subprocess.Popen([sys.executable, "-c", KILLED_WRITER, path], **pipes) for path in paths]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
    for writer in writers:
        writer.communicate()


def test_after_sixty_killed_writers_the_next_one_leaves_no_temporary_file(tmp_path: Path) -> None:
    for start in range(0, 60, 20):
        killed_writers([tmp_path / f"{number}.txt" for number in range(start, start + 20)])
        assert len(list(tmp_path.glob(".*.part"))) == 20
        assert not list(tmp_path.glob("*.txt"))
        sweep(tmp_path)
    killed_writers([tmp_path / "a.txt"] * 2)
    with replacing(tmp_path / "a.txt") as part:
        part.write_text("all of it")
        # That of a writer that is at work stays.
        sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "all of it"


def test_a_killed_writer_of_a_store_leaves_nothing_behind_the_next(tmp_path: Path) -> None:
    store_value(tmp_path)
    (folder,) = tmp_path.glob("texts/*")
    killed_writers([folder / "fingerprint.json"])
    Store(tmp_path, {"kind": "texts"}).append({("b",): 2})
    assert list(folder.glob(".*.part")) == []


def test_of_another_machine_only_what_a_day_has_not_changed_is_swept(tmp_path: Path) -> None:
    for process, age in ((1, 0.0), (2, DAY_SECONDS + 60)):
        part = tmp_path / HALF_WRITTEN.format(machine="00000000", process=process)
        part.touch()
        os.utime(part, (time.time() - age,) * 2)
    (tmp_path / "mine.part").touch()
    (tmp_path / ".folder.part").mkdir()
    sweep(tmp_path)
    kept = [HALF_WRITTEN.format(machine="00000000", process=1), ".folder.part", "mine.part"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
