"""Texts from the store and texts from the model: which are computed, and that it makes no difference."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from helpers import LOADING, SETTINGS, complete, micro_candidates, micro_prompts
from leakscope.errors import InputError
from leakscope.jobs.sharding import shards_of
from leakscope.models import generation
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.completion import complete_prompts
from leakscope.models.opening import LanguageModel, open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.storage.manifests import describe_folder

N_PROMPTS = 8  # of micro_prompts


def run(model: LanguageModel, prompts: pd.DataFrame, store: Path, **settings: Any) -> tuple[pd.DataFrame, int, int]:
    done = complete_prompts(model, prompts, "m", Prompting({**SETTINGS, **settings}, store=store))
    return done.table, done.summary["reused"], done.summary["computed"]


def test_stored_texts_are_the_computed_ones(micro_model: LanguageModel, tmp_path: Path) -> None:
    first, reused, computed = run(micro_model, micro_prompts(), tmp_path)
    assert (reused, computed) == (0, 5 * N_PROMPTS)
    second, reused, computed = run(micro_model, micro_prompts(), tmp_path)
    assert (reused, computed) == (5 * N_PROMPTS, 0)
    assert second.equals(first)
    assert first.equals(complete(micro_model, micro_prompts()))


@pytest.mark.parametrize("total", [1, 2])
def test_more_texts_of_controls_are_all_that_is_computed_when_they_are_asked_for(
    micro_model: LanguageModel, tmp_path: Path, total: int
) -> None:
    """Six tests and two controls without the clause; a neutral control is a prompt like any other."""
    prompts = micro_prompts()
    neutral = prompts.head(1).assign(prompt_id="bag/neutral", prompt="The small bag. The fruit is")
    prompts = pd.concat([prompts.assign(neutral_control_id="bag/neutral"), neutral], ignore_index=True)
    before, _, computed = run(micro_model, prompts, tmp_path)
    assert computed == 5 * (N_PROMPTS + 1)
    settings = {**SETTINGS, "control_samples": 15, "batch_size": 2}
    parts = [
        complete_prompts(micro_model, prompts, "m", Prompting(settings, store=tmp_path), shard)
        for shard in shards_of(total)
    ]
    assert sum(part.summary["computed"] for part in parts) == 2 * (15 - 5)
    after = pd.concat([part.table for part in parts])
    n_texts = after.groupby("prompt_id").size()
    controls = n_texts.index.isin(["bag/without", "car/without"])
    assert (set(n_texts[controls]), set(n_texts[~controls]), controls.sum()) == ({15}, {5}, 2)
    keys = ["prompt_id", "sample"]
    pd.testing.assert_series_equal(
        after[after["sample"] < 5].set_index(keys)["text"].sort_index(), before.set_index(keys)["text"].sort_index()
    )


def test_a_control_that_is_rendered_like_another_prompt_lends_it_its_first_texts(micro_model: LanguageModel) -> None:
    prompts = micro_prompts()
    same = prompts.head(1).assign(prompt_id="again")
    for table in (pd.concat([prompts, same]), pd.concat([same, prompts])):
        texts = complete(micro_model, table, control_samples=10).set_index("prompt_id")["text"]
        assert texts["again"].tolist() == texts["bag/without"].tolist()[:5]
        assert len(texts["bag/without"]) == 10


def test_no_weights_are_loaded_where_all_is_there(micro_model_folder: Path, tmp_path: Path) -> None:
    manifest = describe_folder(micro_model_folder, "local")
    prompting = Prompting(SETTINGS, store=tmp_path)
    opened = open_model(manifest, LOADING)
    complete_prompts(opened, micro_prompts(), "m", prompting)
    score_prompts(opened, micro_prompts(), micro_candidates(), "m", prompting)
    unloaded = open_model(manifest, LOADING)
    unloaded._load = lambda: pytest.fail("the weights were loaded")
    complete_prompts(unloaded, micro_prompts(), "m", prompting)
    score_prompts(unloaded, micro_prompts(), micro_candidates(), "m", prompting)


def test_weights_that_were_replaced_meanwhile_are_one_clear_error(micro_model_folder: Path, tmp_path: Path) -> None:
    """What they write must not be stored under what the folder held before."""
    folder = shutil.copytree(micro_model_folder, tmp_path / "model")
    opened = open_model(describe_folder(folder, "local"), LOADING)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))
    with pytest.raises(InputError, match="its files have changed since they were recorded"):
        complete_prompts(opened, micro_prompts(), "m", Prompting(SETTINGS, store=tmp_path / "store"))
    assert not (tmp_path / "store").exists()


def test_equal_prompts_are_computed_once(micro_model: LanguageModel, tmp_path: Path) -> None:
    prompts = micro_prompts()
    twice = pd.concat([prompts, prompts.assign(prompt_id=prompts["prompt_id"] + "#2")], ignore_index=True)
    table, reused, computed = run(micro_model, twice, tmp_path)
    assert (reused, computed) == (5 * N_PROMPTS, 5 * N_PROMPTS)
    half = len(table) // 2
    assert list(table["text"][:half]) == list(table["text"][half:])


def test_an_edited_prompt_costs_its_samples(micro_model: LanguageModel, tmp_path: Path) -> None:
    run(micro_model, micro_prompts(), tmp_path)
    edited = micro_prompts()
    edited.loc[2, "prompt"] += " not"
    assert run(micro_model, edited, tmp_path)[1:] == (5 * (N_PROMPTS - 1), 5)


def test_more_samples_cost_the_new_ones_and_fewer_cost_none(micro_model: LanguageModel, tmp_path: Path) -> None:
    run(micro_model, micro_prompts(), tmp_path, samples=3)
    assert run(micro_model, micro_prompts(), tmp_path, samples=5)[1:] == (3 * N_PROMPTS, 2 * N_PROMPTS)
    assert run(micro_model, micro_prompts(), tmp_path, samples=2)[1:] == (2 * N_PROMPTS, 0)


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.5}, {"repetition_penalty": 1.2}, {"seed": 1},
     {"max_new_tokens": 7}, {"stop": "none"}, {"system": "Answer."}, {"template": "{prompt}:"}],
)  # fmt: skip
def test_another_setting_reuses_nothing(micro_model: LanguageModel, tmp_path: Path, change: dict[str, Any]) -> None:
    run(micro_model, micro_prompts(), tmp_path)
    assert run(micro_model, micro_prompts(), tmp_path, **change)[1] == 0


def test_what_the_model_says_itself_is_the_same_as_saying_it(micro_model: LanguageModel, tmp_path: Path) -> None:
    """`model` as a value stands for a number; the number is what is stored under."""
    run(micro_model, micro_prompts(), tmp_path, top_p="model", top_k="model", repetition_penalty="model")
    for one in (1.0, 1):
        plain = {"top_p": one, "top_k": 0, "repetition_penalty": one}
        assert run(micro_model, micro_prompts(), tmp_path, **plain)[2] == 0


def test_scores_are_stored_by_prompt(micro_model: LanguageModel, tmp_path: Path) -> None:
    prompting = Prompting(SETTINGS, store=tmp_path)
    first = score_prompts(micro_model, micro_prompts(), micro_candidates(), "m", prompting)
    assert first.summary["computed"] == N_PROMPTS
    edited = micro_prompts()
    edited.loc[2, "prompt"] += " not"
    second = score_prompts(micro_model, edited, micro_candidates(), "m", prompting)
    assert second.summary["computed"] == 1
    others = first.table["prompt_id"] != edited["prompt_id"][2]
    assert second.table[others].equals(first.table[others])
    more = pd.concat(
        [
            micro_candidates(),
            pd.DataFrame([("fruits", "a pear", "green")], columns=["slot", "candidate", "concept_group"]),
        ]
    )
    # The four prompts whose slot has one more candidate.
    assert score_prompts(micro_model, micro_prompts(), more, "m", prompting).summary["computed"] == 4


def test_an_interrupted_run_goes_on_with_the_batches_it_would_have_had(
    micro_model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[str]] = []
    complete_batch = generation.BatchGenerator.complete

    def noted(self: Any, requests: Any) -> Any:
        batches.append([request.rendered for request in requests])
        return complete_batch(self, requests)

    monkeypatch.setattr(generation.BatchGenerator, "complete", noted)
    whole, _, _ = run(micro_model, micro_prompts(), tmp_path / "whole", batch_size=3)
    expected, batches[:] = list(batches), []

    def failing(self: Any, requests: Any) -> Iterator[Any]:
        if len(batches) == 1:
            raise KeyboardInterrupt
        return noted(self, requests)

    monkeypatch.setattr(generation.BatchGenerator, "complete", failing)
    with pytest.raises(KeyboardInterrupt):
        run(micro_model, micro_prompts(), tmp_path / "broken", batch_size=3)
    monkeypatch.setattr(generation.BatchGenerator, "complete", noted)
    resumed, reused, computed = run(micro_model, micro_prompts(), tmp_path / "broken", batch_size=3)
    assert batches == expected
    assert (reused, computed) == (5 * 3, 5 * (N_PROMPTS - 3))
    assert resumed.equals(whole)


def test_what_is_missing_here_and_there_shares_batches() -> None:
    requests = [generation.Request(f"p{i}", [1] * (10 - i), range(2)) for i in range(6)]
    missing = {"p0": [0, 1], "p2": [1], "p3": [0, 1], "p5": [0, 1], "p4": [0, 1]}
    plan = generation.plan_batches(requests, missing, 2)
    assert [[(r.rendered, list(r.samples)) for r in batch] for batch in plan] == [
        [("p4", [0, 1]), ("p5", [0, 1])],  # nothing of it is there: the batch that it would have been
        [("p0", [0, 1]), ("p2", [1])],
        [("p3", [0, 1])],
    ]


WRITER = """
import sys
from pathlib import Path
import torch
from helpers import LOADING, SETTINGS, micro_prompts
from leakscope.models.completion import complete_prompts
from leakscope.errors import InputError
from leakscope.storage.manifests import describe_folder
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting

torch.set_num_threads(1)
folder, store, table = map(Path, sys.argv[1:4])
settings = {**SETTINGS, "samples": 300, "batch_size": 1}
model = open_model(describe_folder(folder, "local"), LOADING)
done = complete_prompts(model, micro_prompts(), "m", Prompting(settings, store=store))
done.table.to_parquet(table, index=False)
"""


def test_two_processes_write_into_one_store_and_one_is_killed(micro_model_folder: Path, tmp_path: Path) -> None:
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tests, tests.parent / "scripts")))}

    def start(store: str, table: str) -> subprocess.Popen[bytes]:
        paths = [str(micro_model_folder), str(tmp_path / store), str(tmp_path / table)]
        return subprocess.Popen([sys.executable, "-c", WRITER, *paths], env=environment)

    def lines() -> int:
        return sum(path.read_bytes().count(b"\n") for path in (tmp_path / "shared").rglob("*.jsonl"))

    alone = start("alone", "alone.parquet")
    assert alone.wait() == 0
    doomed, other = start("shared", "doomed.parquet"), start("shared", "other.parquet")
    while doomed.poll() is None and lines() < 300:
        time.sleep(0.002)
    doomed.send_signal(signal.SIGKILL)
    assert doomed.wait() == -signal.SIGKILL
    again = start("shared", "again.parquet")
    assert [other.wait(), again.wait()] == [0, 0]
    expected = (tmp_path / "alone.parquet").read_bytes()
    assert (tmp_path / "other.parquet").read_bytes() == expected
    assert (tmp_path / "again.parquet").read_bytes() == expected
    assert lines() == 300 * N_PROMPTS, "no key twice"
