"""Dividing a prompt set over jobs: whole batches of one order, and the same results for any number of shards."""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakscope.errors import InputError
from leakscope.files.row_counts import count_rows
from leakscope.jobs.sharding import Shard, count_shards, gather_rows, gather_summaries, longest_first, shards_of
from leakscope.leak.prompts import build_prompts, count_prompts, template_files
from leakscope.models.completion import complete_prompts
from leakscope.models.generation import Request, plan_batches
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from workspace import Workspace

KINDS = ("generations", "candidates")

prompts = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), max_size=40)


@given(prompts=prompts, batch_size=st.integers(1, 9), total=st.integers(1, 12))
def test_shards_are_whole_batches_of_one_order(prompts: list[list[int]], batch_size: int, total: int) -> None:
    ids = {f"prompt {number}": row for number, row in enumerate(prompts)}
    requests = [Request(name, row, range(2)) for name, row in ids.items()]
    whole = plan_batches(requests, {name: range(2) for name in ids}, batch_size)
    divided = []
    for shard in shards_of(total):
        mine = shard.take(longest_first(ids), batch_size)
        own = [request for request in requests if request.rendered in mine]
        divided += plan_batches(own, {name: range(2) for name in mine}, batch_size)
    in_order = lambda batches: sorted([request.rendered for request in batch] for batch in batches)  # noqa: E731
    assert in_order(divided) == in_order(whole)


@given(n_items=st.integers(0, 60), batch_size=st.integers(1, 9), total=st.integers(1, 12))
def test_every_item_is_in_one_shard_and_shards_are_even(n_items: int, batch_size: int, total: int) -> None:
    shares = [shard.take(range(n_items), batch_size) for shard in shards_of(total)]
    assert sorted(itertools.chain(*shares)) == list(range(n_items))
    assert max(map(len, shares)) - min(map(len, shares)) <= batch_size


def test_a_shard_is_read_from_file_names_as_it_is_written() -> None:
    assert Shard.parse("3-of-8") == Shard(3, 8)
    assert str(Shard(3, 8)) == "3-of-8"


@pytest.mark.parametrize(("n_prompts", "n_shards"), [(0, 1), (1, 1), (4096, 1), (4097, 2), (100_000, 25)])
def test_auto_is_a_shard_for_every_4096_prompts(n_prompts: int, n_shards: int) -> None:
    assert count_shards("auto", n_prompts, 64) == n_shards


@pytest.mark.parametrize(("shards", "n_shards"), [(1, 1), (3, 3), (16, 5)])
def test_no_shard_is_without_a_batch(shards: int, n_shards: int) -> None:
    assert count_shards(shards, 18, 4) == n_shards


def test_shards_of_a_model_together_are_what_one_job_writes(micro_model: LanguageModel) -> None:
    """One batch and two shards, so one of them is empty; and prompts that are equal."""
    texts = ["The bag is red. I ate", "I ate", "I ate"]
    table = pd.DataFrame({"prompt_set": "p", "prompt_id": ["a", "b", "c"], "prompt": texts})
    settings = dict(
        samples=2, seed=0, temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0, max_new_tokens=4,
        stop="none", system=None, template="{prompt}", batch_size=8,
    )  # fmt: skip
    prompting = Prompting(settings)
    whole = complete_prompts(micro_model, table, "m", prompting)
    parts = [complete_prompts(micro_model, table, "m", prompting, shard) for shard in shards_of(2)]
    assert [len(part.table) for part in parts] == [6, 0]
    assert gather_rows([part.table for part in parts], table["prompt_id"]).equals(whole.table)
    assert gather_summaries([part.summary for part in parts]) == whole.summary


def test_prompts_are_counted_without_being_made(root: Path) -> None:
    for name in ("colors", "associations"):
        files = template_files(root / "data/prompt_sets" / name, [root / "data/lexicons"])
        assert count_prompts(files) == len(build_prompts(files, name).prompts)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "xlsx"])
def test_rows_of_a_table_are_counted_without_reading_it(tmp_path: Path, suffix: str) -> None:
    frame, path = pd.DataFrame({"a": ["x"] * 50, "b": "y"}), tmp_path / f"table.{suffix}"
    if suffix in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_excel(path, index=False)
    assert count_rows(path) in (50, 51)


def test_a_table_that_cannot_be_read_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "broken.xlsx").write_bytes(b"not a spreadsheet")
    assert count_rows(tmp_path / "broken.xlsx") == count_rows(tmp_path / "missing.csv") == 0


def test_gathered_rows_stand_in_the_order_of_the_prompts() -> None:
    one, none, other = (
        pd.DataFrame({"prompt_id": ids, "sample": range(len(ids))}) for ids in (["b", "b"], [], ["c", "a"])
    )
    rows = gather_rows([one, none, other], ["a", "b", "c"])
    assert list(zip(rows["prompt_id"], rows["sample"], strict=True)) == [("a", 1), ("b", 0), ("b", 1), ("c", 0)]
    with pytest.raises(InputError, match="no row for prompt 'd'"):
        gather_rows([one, other], ["a", "b", "c", "d"])


def test_gathered_summaries_add_up() -> None:
    one, other = (
        {"total": total, "computed": computed, "reused": total - computed, "store": "s"}
        for total, computed in ((5, 2), (7, 7))
    )
    assert gather_summaries([one, other]) == {"total": 12, "computed": 9, "reused": 3, "store": "s"}


@pytest.mark.slow
@pytest.mark.workflow
def test_the_number_of_shards_changes_no_byte_of_the_results(finished: Workspace, tmp_path: Path) -> None:
    """Five batches in three shards: all bytes are those of one job, and nothing that is made of them is made again."""
    written = ("results/store", "results/micro/generations", "results/micro/candidates")
    workspace = finished.copy(tmp_path / "checkout", without=written)
    workspace.study["models"]["tiny-l100"]["generation"]["shards"] = 3
    models = workspace.study["study"]["models"]
    targets = [f"results/micro/{kind}/{model}/micro.parquet" for kind in KINDS for model in models]
    printed = workspace.run("--cores", "2", *targets).stdout
    # The other model's prompts go the same way, as one shard.
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", printed, flags=re.M))
    assert (jobs["generate_shard"], jobs["gather_shards"]) == ("4", "2")
    one_job, sharded = bytes_of(finished), bytes_of(workspace)
    assert len(one_job) > 50
    assert sharded == one_job
    assert "Nothing to be done" in workspace.run("-n").stdout


def bytes_of(workspace: Workspace) -> dict[str, str]:
    """Return a digest of every result of a workspace, by its name; logs and times of runs are none."""
    results = workspace.folder / "results/micro"
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file() and not {"logs", "benchmarks", "provenance.json"} & set(path.relative_to(results).parts)
    }
