from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from leakscope.storage.store import Key, Store
from leakscope.storage.upkeep import compact, overview, prunable, prune, survey

KEYS: list[Key] = [("a",), ("b",), ("c",)]


def fingerprint(seed: int) -> dict[str, object]:
    decoding = {"temperature": 0.5}
    return {
        "kind": "texts", "seed": seed, "model": {"dtype": "float32"}, "decoding": decoding,
        "limits": {"max_new_tokens": 10},
    }  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two fingerprints of texts, the second used by a study, in two files; and embeddings that a scorer uses."""
    root = tmp_path / "store"
    Store(root, fingerprint(0)).append({KEYS[0]: "old"})
    Store(root, fingerprint(1)).append({KEYS[0]: "x", KEYS[1]: "y"})
    Store(root, fingerprint(1)).append({KEYS[2]: "z"})
    embeddings = Store(root, {"kind": "embeddings", "of": "tokens", "num_layers": 6})
    embeddings.append({KEYS[0]: "AAAA"})
    sentences = Store(root, {"kind": "sentences", "model": {"dtype": "float32"}})
    sentences.append({KEYS[0]: [-1.0]})
    asked = Store(root, {"kind": "ngram_counts", "index": "pile", "max_clause_freq": 50_000})
    asked.append({KEYS[0]: [1, False]})
    odds = [
        Store(root, {"kind": "log_odds", "of": of, "model": {"dtype": "float32"}}) for of in ("answers", "candidates")
    ]
    for store in odds:
        store.append({KEYS[0]: [-1.0, -2.0]})
    read = Store(root, {"kind": "sentences", "model": {"dtype": "bfloat16"}})
    read.append({KEYS[0]: [-1.0]})
    answers = Store(root, {"kind": "chat", "model": "judge", "temperature": 0.0, "max_tokens": 200})
    answers.append({KEYS[0]: "a color"})
    served = Store(root, {"kind": "served_logprobs", "model": "their-7b"})
    served.append({KEYS[0]: {"ends": [1], "logprobs": [-1.0]}})
    for name, folder in (
        ("study/validate/scores/n/animals", [f"results/store/log_odds/{store.hash}" for store in odds]),
        ("study/validate/lens/o/animals", [f"results/store/log_odds/{odds[0].hash}"]),
        ("study/validate/perplexity/n", [f"results/store/sentences/{read.hash}"]),
        ("study/features/bias/p/crows", f"results/store/sentences/{read.hash}"),
        ("study/features/dictionaries/main/explanations/judge", f"results/store/chat/{answers.hash}"),
        ("study/candidates/q/colors", f"results/store/served_logprobs/{served.hash}"),
        ("study/ground/scores/m/people", f"results/store/sentences/{sentences.hash}"),
        ("study/ground/counts/people", f"results/store/ngram_counts/{asked.hash}"),
        ("study/generations/m/colors", f"results/store/texts/{Store(root, fingerprint(1)).hash}"),
        ("study/similarity/bertscore", [f"results/store/embeddings/{embeddings.hash}"]),
    ):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"total": 3, "store": folder}))
    return tmp_path


def test_a_survey_says_what_is_there_and_who_uses_it(results: Path) -> None:
    table = overview(survey(results / "store", [results])).set_index("settings")
    assert table.loc["T=0.5 float32 seed=0 10 tokens", ["values", "files", "used_by"]].tolist() == [1, 1, "-"]
    assert table.loc["T=0.5 float32 seed=1 10 tokens", ["values", "files", "used_by"]].tolist() == [3, 2, "study/m"]
    assert table.loc["tokens 6", ["values", "used_by"]].tolist() == [1, "study/bertscore"]
    assert table.loc["float32", ["values", "used_by"]].tolist() == [1, "study/m"]
    assert table.loc["answers float32", ["values", "used_by"]].tolist() == [1, "study/o, study/n"]
    assert table.loc["candidates float32", ["values", "used_by"]].tolist() == [1, "study/n"]
    assert table.loc["bfloat16", ["values", "used_by"]].tolist() == [1, "study/p, study/n"]
    assert table.loc["judge T=0 200 tokens", ["values", "used_by"]].tolist() == [1, "study/judge"]
    assert table.loc["their-7b", ["values", "used_by"]].tolist() == [1, "study/q"]
    assert table.loc["pile clauses up to 50000", ["values", "used_by"]].tolist() == [1, "study/people"]


@pytest.mark.parametrize("said", [None, "{", '{"kind": "texts"}', '{"kind": "texts", "model": []}', "[" * 100_000])
def test_a_folder_without_its_fingerprint_is_shown_and_its_values_are_used(results: Path, said: str | None) -> None:
    store = Store(results / "store", fingerprint(1))
    file = store.folder / "fingerprint.json"
    file.unlink() if said is None else file.write_text(said)
    contents = survey(results / "store", [results])
    table = overview(contents).set_index("fingerprint")
    shown = ["texts", 3, 2, "no valid fingerprint.json", "study/m"]
    assert table.loc[store.hash[:12], ["kind", "values", "files", "settings", "used_by"]].tolist() == shown
    compact(next(stored for stored in contents if stored.folder == store.folder))
    assert len(store.read(KEYS)) == 3


def test_scores_within_words_are_listed_like_other_sentences(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", {"kind": "sentences_within_word", "model": {"dtype": "float16"}})
    store.append({KEYS[0]: [-1.0]})
    (row,) = overview(survey(tmp_path / "store", [tmp_path])).itertuples()
    assert (row.kind, row.settings, row.values) == ("sentences_within_word", "float16", 1)


def test_only_what_nobody_uses_and_nobody_writes_to_is_pruned(results: Path) -> None:
    contents = survey(results / "store", [results])
    last = max(found.last_written for found in contents)
    assert prunable(contents, older_than_days=7, now=last) == []
    gone = prunable(contents, older_than_days=7, now=last + 8 * 86400)
    assert [found.fingerprint for found in gone] == [fingerprint(0)]
    prune(gone)
    assert Store(results / "store", fingerprint(0)).read(KEYS) == {}
    assert len(Store(results / "store", fingerprint(1)).read(KEYS)) == 3


def test_compacting_leaves_one_file_and_the_same_values(results: Path) -> None:
    store = Store(results / "store", fingerprint(1))
    torn = sorted(store.folder.glob("*.jsonl"))[1]
    torn.write_bytes(torn.read_bytes() + b'{"key": ["d"], "va')
    before = Store(results / "store", fingerprint(1)).read(KEYS)
    compact(next(found for found in survey(results / "store", [results]) if found.fingerprint == fingerprint(1)))
    assert len(list(store.folder.glob("*.jsonl"))) == 1
    assert next(store.folder.glob("*.jsonl")).read_bytes().count(b"\n") == 3
    assert Store(results / "store", fingerprint(1)).read(KEYS) == before == dict(zip(KEYS, "xyz", strict=True))
    # A later writer's file comes after it, and it can be compacted again.
    Store(results / "store", fingerprint(1)).append({("d",): "later"})
    compact(next(found for found in survey(results / "store", [results]) if found.fingerprint == fingerprint(1)))
    assert Store(results / "store", fingerprint(1)).read([("d",), *KEYS]) == {("d",): "later", **before}


def test_a_writer_whose_file_was_put_away_goes_on_in_a_new_one(results: Path) -> None:
    writer = Store(results / "store", fingerprint(1))
    writer.append({("d",): 1})
    compact(next(found for found in survey(results / "store", [results]) if found.fingerprint == fingerprint(1)))
    writer.append({("e",): 2})
    assert Store(results / "store", fingerprint(1)).read([("d",), ("e",)]) == {("d",): 1, ("e",): 2}
    prune([found for found in survey(results / "store", [results]) if found.fingerprint == fingerprint(1)])
    writer.append({("f",): 3})
    assert Store(results / "store", fingerprint(1)).read([("e",), ("f",)]) == {("f",): 3}


def test_the_first_of_two_values_survives_compacting(results: Path) -> None:
    store = Store(results / "store", fingerprint(1))
    first, _ = sorted(store.folder.glob("*.jsonl"))
    second = store._line(("a",), "second")
    (store.folder / "9-later.jsonl").write_bytes(second)
    compact(next(found for found in survey(results / "store", [results]) if found.fingerprint == fingerprint(1)))
    assert Store(results / "store", fingerprint(1)).read([("a",)]) == {("a",): "x"}
    assert not first.exists()


def test_damage_is_counted(results: Path) -> None:
    path = next(Store(results / "store", fingerprint(0)).folder.glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b"old", b"odd"))
    assert overview(survey(results / "store", [results]))["damaged"].sum() == 1


def run(root: Path, results: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root / "scripts")}
    command = [sys.executable, str(root / "scripts/store.py"), *arguments, "--results", str(results)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_the_command_removes_nothing_unless_told_to(root: Path, results: Path) -> None:
    assert "10 folders" in run(root, results)
    assert "add --yes" in run(root, results, "prune", "--days", "0")
    assert len(survey(results / "store", [results])) == 10
    assert "removed" in run(root, results, "prune", "--days", "0", "--yes")
    assert len(survey(results / "store", [results])) == 9
    assert "more than 7 days ago" in run(root, results, "compact")
    assert "one file now" in run(root, results, "compact", "--days", "0")
    assert {found.n_files for found in survey(results / "store", [results])} == {1}


def test_a_checkout_without_a_store_has_nothing_to_show(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path).startswith("0 folders")


def test_a_store_elsewhere_is_found_by_its_folder_or_by_the_study_that_names_it(
    root: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (results / "shared").mkdir()
    (results / "store").rename(results / "shared/store")
    (results / "study.yaml").write_text("store: $GROUP/shared/store\n")
    monkeypatch.setenv("GROUP", str(results))
    assert run(root, results).startswith("0 folders")
    assert "10 folders" in run(root, results, "--store", str(results / "shared/store"))
    assert "10 folders" in run(root, results, "--configfile", str(results / "study.yaml"))


def test_a_shared_store_is_pruned_only_by_who_says_whose_studies_use_it(root: Path, results: Path) -> None:
    command = [sys.executable, str(root / "scripts/store.py"), "prune", "--days", "0", "--yes"]
    command += ["--store", str(results / "store")]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=results)
    assert refused.returncode == 1
    assert "may hold what studies elsewhere use; allowed: --results <folder>" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    # Nobody below this folder uses anything, and somebody below the other one most of it.
    (results / "empty").mkdir()
    allowed = [*command, "--results", str(results / "empty"), "--results", str(results)]
    assert subprocess.run(allowed, capture_output=True, text=True, check=True).stdout.endswith("removed\n")
    assert len(survey(results / "store", [results])) == 9
