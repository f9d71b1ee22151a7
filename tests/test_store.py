"""The store: what is kept, what survives a kill, a full disk and other writers."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from leakscope.errors import InputError
from leakscope.storage.store import Key, Store, fingerprint_hash, recall

FINGERPRINT = {"kind": "texts", "weights_sha256": "abc", "seed": 0}


def files(store: Store) -> list[Path]:
    return sorted(store.folder.glob("*.jsonl"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("The bag is red.\nIt is", 3), "a cherry."),
        (("",), ""),
        (("“Rosé”\u2028\t\\", 0), "日本\n語"),
        (("half a pair \ud800",), "\udfff"),
        (("scores",), [[-1.5, 1e-300, float("-inf")], [0.1 + 0.2]]),
        (("embedding",), {"vectors": "AACAPw==", "weights": [0.5, 0.5]}),
        (("nothing",), None),
    ],
)
def test_another_process_reads_exactly_what_was_appended(tmp_path: Path, key: Key, value: Any) -> None:
    assert Store(tmp_path, FINGERPRINT).append({key: value}) == {key: value}
    assert Store(tmp_path, FINGERPRINT).read([key, ("other",)]) == {key: value}


def test_a_fingerprint_names_its_folder_and_can_be_read_there(tmp_path: Path) -> None:
    store = Store(tmp_path, FINGERPRINT)
    store.append({("k",): "v"})
    assert store.folder == tmp_path / "texts" / fingerprint_hash(FINGERPRINT)
    assert json.loads((store.folder / "fingerprint.json").read_text(encoding="utf-8")) == FINGERPRINT


def test_the_order_of_a_fingerprints_keys_does_not_matter_and_each_of_its_values_does() -> None:
    assert fingerprint_hash(FINGERPRINT) == fingerprint_hash(dict(reversed(FINGERPRINT.items())))
    assert (
        len(
            {
                fingerprint_hash(fingerprint)
                for fingerprint in (
                    FINGERPRINT,
                    {**FINGERPRINT, "seed": 1},
                    {**FINGERPRINT, "seed": "0"},
                    {**FINGERPRINT, "more": None},
                )
            }
        )
        == 4
    )


def test_reading_writes_nothing(tmp_path: Path) -> None:
    assert Store(tmp_path, FINGERPRINT).read([("k",)]) == {}
    assert not list(tmp_path.iterdir())


def test_records_of_another_fingerprint_are_not_taken(tmp_path: Path) -> None:
    here, there = Store(tmp_path, FINGERPRINT), Store(tmp_path, {**FINGERPRINT, "seed": 1})
    here.append({("k",): "of seed 0"})
    there.append({("other",): "of seed 1"})
    (there.folder / "misplaced.jsonl").write_bytes(files(here)[0].read_bytes())
    assert Store(tmp_path, there.fingerprint).read([("k",), ("other",)]) == {("other",): "of seed 1"}


@pytest.mark.parametrize("n_bytes", range(1, 60, 7))
def test_a_torn_last_line_is_as_if_it_were_not_there(tmp_path: Path, n_bytes: int) -> None:
    store = Store(tmp_path, FINGERPRINT)
    store.append({("first",): "kept"})
    store.append({("second",): "torn"})
    path = files(store)[0]
    path.write_bytes(path.read_bytes()[:-n_bytes])
    assert Store(tmp_path, FINGERPRINT).read([("first",), ("second",)]) == {("first",): "kept"}


def test_a_damaged_record_is_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path, FINGERPRINT)
    store.append({("a",): "one", ("b",): "two", ("c",): "three"})
    path = files(store)[0]
    path.write_bytes(path.read_bytes().replace(b'"two"', b'"tvo"'))
    assert Store(tmp_path, FINGERPRINT).read([("a",), ("b",), ("c",)]) == {("a",): "one", ("c",): "three"}
    assert "skipped 1 damaged record; its value is" in caplog.text


def test_the_first_writer_of_a_key_is_right_and_the_second_is_told(tmp_path: Path) -> None:
    first, second = Store(tmp_path, FINGERPRINT), Store(tmp_path, FINGERPRINT)
    first.append({("k",): "first"})
    assert second.append({("k",): "second", ("l",): "own"}) == {("k",): "first", ("l",): "own"}
    assert first.append({("l",): "late"}) == {("l",): "own"}
    assert sum(path.read_bytes().count(b"\n") for path in files(first)) == 2


def test_a_key_that_another_stored_before_it_was_wanted_keeps_its_value(tmp_path: Path) -> None:
    first, second = Store(tmp_path, FINGERPRINT), Store(tmp_path, FINGERPRINT)
    first.append({("k",): "first"})
    second.append({("other",): 1})
    assert second.append({("k",): "second"}) == {("k",): "first"}


def test_without_locks_nothing_is_lost_and_all_readers_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FileLock, *args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    first, second = Store(tmp_path, FINGERPRINT), Store(tmp_path, FINGERPRINT)
    first.append({("a",): 1})
    second.append({("b",): 2})
    # Both write the same key without having seen the other's: what a race would do.
    monkeypatch.setattr(Store, "_refresh", lambda self: None)
    first.append({("k",): "first"})
    second.append({("k",): "second"})
    monkeypatch.undo()
    for _ in range(3):
        assert Store(tmp_path, FINGERPRINT).read([("a",), ("b",), ("k",)]) == {("a",): 1, ("b",): 2, ("k",): "first"}


def test_a_full_disk_is_one_clear_error_and_keeps_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, write = Store(tmp_path, FINGERPRINT), os.write
    store.append({("before",): 1})

    def full(descriptor: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)") as raised:
        store.append({("during",): 2})
    assert "\n" not in str(raised.value)
    monkeypatch.undo()
    # The same writer goes on once there is room, and its torn line does not take the next record with it.
    store.append({("after",): 3})
    assert Store(tmp_path, FINGERPRINT).read([("before",), ("during",), ("after",)]) == {("before",): 1, ("after",): 3}


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path, FINGERPRINT).append({("k",): 1})


def test_only_what_is_missing_is_computed_once_each_and_in_order(tmp_path: Path) -> None:
    Store(tmp_path, FINGERPRINT).append({("b",): "stored"})
    asked: list[list[Key]] = []

    def compute(missing: list[Key]) -> Iterator[Mapping[Key, Any]]:
        asked.append(missing)
        yield {("c",): "new"}
        yield {("a",): "new"}

    found = recall(Store(tmp_path, FINGERPRINT), [("c",), ("b",), ("a",), ("c",)], compute)
    assert asked == [[("c",), ("a",)]]
    assert found.values == {("b",): "stored", ("c",): "new", ("a",): "new"}
    assert found.summary(4) == {
        "total": 4,
        "computed": 2,
        "reused": 2,
        "store": str(Store(tmp_path, FINGERPRINT).folder),
    }


def test_nothing_is_computed_where_nothing_is_missing(tmp_path: Path) -> None:
    Store(tmp_path, FINGERPRINT).append({("a",): 1})
    assert recall(Store(tmp_path, FINGERPRINT), [("a",)], lambda missing: pytest.fail("called")).n_computed == 0


def test_batches_before_a_failure_are_kept(tmp_path: Path) -> None:
    def compute(missing: list[Key]) -> Iterator[Mapping[Key, Any]]:
        yield {missing[0]: "done"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recall(Store(tmp_path, FINGERPRINT), [("a",), ("b",)], compute)
    assert Store(tmp_path, FINGERPRINT).read([("a",), ("b",)]) == {("a",): "done"}


def test_without_a_store_everything_is_computed_and_nothing_kept() -> None:
    found = recall(None, [("a",)], lambda missing: iter([dict.fromkeys(missing, 1)]))
    assert found == ({("a",): 1}, 1, None)


# A writer that works through all keys in an order of its own; its values tell who computed them and when, so that two
# values of one key are seen. What `append` returned is noted in a file of its own, unbuffered.
WRITER = """
import os, random, sys, time
from pathlib import Path
from leakscope.storage.store import Store, recall

root, notes, n_keys, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
fingerprint = {"kind": "texts", "weights_sha256": "abc", "seed": 0}
keys = [(f"prompt {i}", i % 5) for i in range(n_keys)]
random.Random(seed).shuffle(keys)
note = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def compute(missing):
    for start in range(0, len(missing), 7):
        time.sleep(0.01)
        yield {key: f"{key[0]} by {os.getpid()} " + "x" * random.randrange(3000) for key in missing[start:start + 7]}

store = Store(root, fingerprint)
append = store.append
def noted(records):
    values = append(records)
    os.write(note, b"".join(f"{k[0]}\\t{v}\\n".encode() for k, v in values.items()))
    return values
store.append = noted
recall(store, keys, compute)
"""


def test_writers_that_interleave_and_are_killed_lose_and_corrupt_nothing(tmp_path: Path) -> None:
    root, n_keys, chance = tmp_path / "store", 700, random.Random(0)
    keys: list[Key] = [(f"prompt {i}", i % 5) for i in range(n_keys)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "scripts")}

    def start(number: int) -> subprocess.Popen[bytes]:
        arguments = [str(root), str(tmp_path / f"{number}.notes"), str(n_keys), str(number)]
        return subprocess.Popen([sys.executable, "-c", WRITER, *arguments], env=environment)

    running = {number: start(number) for number in range(3)}
    n_killed = 0
    seen: dict[Key, set[str]] = {}
    while running:
        for key, value in Store(root, FINGERPRINT).read(keys).items():
            seen.setdefault(key, set()).add(value)
        for number, process in list(running.items()):
            if process.poll() is not None:
                del running[number]
                assert process.returncode in (0, -signal.SIGKILL)
                if process.returncode:  # as a scheduler does: the same job once more
                    running[number + 3] = start(number + 3)
        victims = [process for process in running.values() if process.poll() is None]
        if victims and n_killed < 6 and len(seen) > 90 * n_killed:
            chance.choice(victims).send_signal(signal.SIGKILL)
            n_killed += 1
        time.sleep(0.005)

    assert n_killed == 6
    final = Store(root, FINGERPRINT).read(keys)
    assert set(final) == set(keys), "nothing is lost"
    for key, values in seen.items():
        assert values == {final[key]}, "every reader at any time saw one value"
    for notes in tmp_path.glob("*.notes"):
        for line in notes.read_text(encoding="utf-8").splitlines():
            prompt, value = line.split("\t")
            assert final[prompt, int(prompt.split()[1]) % 5] == value, "what a writer was told is what all read"
    lines = [line for path in files(Store(root, FINGERPRINT)) for line in path.read_bytes().split(b"\n") if line]
    assert n_keys <= len(lines) <= n_keys + n_killed, "at most one torn line a kill, and no key twice"


def test_what_is_called_like_a_file_of_records_and_is_none_is_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path, {"kind": "texts"})
    store.append({("a",): 1})
    (store.folder / "0-folder.jsonl").mkdir()
    os.mkfifo(store.folder / "1-fifo.jsonl")
    lines = ["[" * 100_000, '{"key": [[1]], "value": 1, "check": "0"}', '{"key": 1}', "null", "\\udcff"]
    (store.folder / "2-damaged.jsonl").write_text("\n".join(lines) + "\n")
    assert Store(tmp_path, {"kind": "texts"}).read([("a",)]) == {("a",): 1}


def test_records_that_one_may_not_read_are_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, {"kind": "texts"})
    store.append({("a",): 1})

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # who runs tests may be root, and read everything
    with pytest.raises(InputError, match=r"\.jsonl: got Permission denied; allowed: a readable file"):
        Store(tmp_path, {"kind": "texts"}).read([("a",)])
