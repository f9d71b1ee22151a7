"""What mitigations cost by tasks of lm-eval: mitigated models answer there as they do here; differences are of pairs.

lm-eval is in no environment of leakscope's: LEAKSCOPE_RECEIVERS names an interpreter that has it.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import LOADING
from leakscope.errors import InputError
from leakscope.files.tables import write_table
from leakscope.models.mitigating.changes import describe_mitigated
from leakscope.models.opening import LanguageModel, open_model
from leakscope.storage.manifests import describe_folder, read_manifest, write_manifest
from leakscope.trace.harness import Harness, score_tasks
from leakscope.trace.harness_table import HARNESS_COLUMNS, TASK_COLUMNS, Trial, compare_tasks, paired_error
from removal import write_model

COLORS = ("red", "green", "blue")
WORDING = "The train was late again."
ALL = ("none", "attention", "prompt")
ENDS = {"scores": "parquet", "chosen": "json"}


def scores(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=TASK_COLUMNS)


def test_a_difference_is_of_the_same_examples() -> None:
    plain = scores(("fruit", "acc", 0.75, 0.25, 4, [1, 1, 1, 0]), ("text", "perplexity", 8.0, 0.5, 4, None))
    less = scores(("fruit", "acc", 0.5, 0.2887, 4, [1, 1, 0, 0]), ("text", "perplexity", 9.0, 0.5, 4, None))
    nothing = scores()
    trials = [
        Trial("m", "colors", "none", None, plain),
        Trial("m", "colors", "attention", 0.5, less),
        Trial("m", "colors", "lora", None, nothing),
    ]
    table = compare_tasks(trials)
    assert list(table) == HARNESS_COLUMNS
    accuracy = table[(table["mitigation"] == "attention") & (table["metric"] == "acc")].iloc[0]
    assert (accuracy["value"], accuracy["value_base"], accuracy["difference"]) == (0.5, 0.75, -0.25)
    # Of the differences 0, 0, −1, 0: s = ½, by √4. Of values that are not paired it would be .38.
    assert accuracy["difference_stderr"] == pytest.approx(0.25)
    perplexity = table[(table["mitigation"] == "attention") & (table["metric"] == "perplexity")].iloc[0]
    assert perplexity["difference"] == 1.0
    assert np.isnan(perplexity["difference_stderr"])
    assert table[table["mitigation"] == "none"]["difference"].isna().all()
    unscored = table[table["mitigation"] == "lora"].iloc[0]
    assert unscored["empty_because"] == "nothing that was tried costs so little"
    assert pd.isna(unscored["task"])


def test_the_table_is_of_what_was_chosen_at_the_cost(root: Path, tmp_path: Path) -> None:
    of = {"none": scores(("fruit", "acc", 1.0, 0.0, 2, [1, 1])), "lora": scores(("fruit", "acc", 0.5, 0.5, 2, [1, 0]))}
    for name, table in of.items():
        write_table(table, tmp_path / f"{name}.parquet")
        best = {"1": None, "3": {"strength": 0.25} if name == "lora" else None}
        write_manifest({"chosen": best}, tmp_path / f"{name}.json")
    files = {kind: [str(tmp_path / f"{name}.{end}") for name in of] for kind, end in ENDS.items()}
    params = SimpleNamespace(trials=[["m", "colors", name] for name in of], cost=3.0)
    output = SimpleNamespace(tasks=tmp_path / "mitigations_tasks.csv")
    main = runpy.run_path(str(root / "scripts/trace/compare_tasks.py"))["main"]
    main(SimpleNamespace(input=SimpleNamespace(**files), output=output, params=params))
    plain, lora = pd.read_csv(output.tasks).to_dict("records")
    assert (plain["value"], lora["value_base"], lora["difference"], lora["strength"]) == (1.0, 1.0, -0.5, 0.25)
    # Of 0 and −1: s = √½, by √2.
    assert lora["difference_stderr"] == pytest.approx(0.5)


@pytest.mark.parametrize(("values", "before"), [(None, [1.0, 0.0]), ([1.0], [0.0]), ([1.0, 0.0], [1.0])])
def test_what_is_no_pair_has_no_error(values: list[float] | None, before: list[float]) -> None:
    assert np.isnan(paired_error(values, before))


def test_what_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'langdetect'")

    harness = Harness(["ifeval"], None, None, 1)
    model = cast("LanguageModel", SimpleNamespace(model=None, tokenizer=None))
    monkeypatch.setitem(sys.modules, "lm_eval", SimpleNamespace(simple_evaluate=evaluate))
    # Installed without what it asks models of the hub with.
    monkeypatch.setitem(sys.modules, "lm_eval.models.huggingface", None)
    with pytest.raises(InputError, match=r"huggingface.*; run `pip install 'lm-eval\[hf\]'`\.$"):
        score_tasks(model, harness, chat=False)
    peer = SimpleNamespace(HFLM=lambda **_: None)
    monkeypatch.setitem(sys.modules, "lm_eval.models", SimpleNamespace(huggingface=peer))
    monkeypatch.setitem(sys.modules, "lm_eval.models.huggingface", peer)
    monkeypatch.setattr("leakscope.trace.harness._known_tasks", lambda _: SimpleNamespace(all_tasks=["ifeval"]))
    with pytest.raises(
        InputError, match=r"got ifeval, which need a package that is not installed \(No module named 'lang"
    ):
        score_tasks(model, harness, chat=False)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that lm-eval was run in."""
    python = os.environ.get("LEAKSCOPE_RECEIVERS")
    if not python:
        pytest.skip("LEAKSCOPE_RECEIVERS is not set: give the path of a Python that has lm-eval")
    folder = tmp_path_factory.mktemp("harness")
    write_tasks(folder / "tasks")
    (folder / "jobs.json").write_text(json.dumps(dict(jobs(folder))), encoding="utf-8")
    scripts = Path(__file__).parents[1] / "scripts"
    environment = {**os.environ, "PYTHONPATH": str(scripts), "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
    command = [python, str(Path(__file__).with_name("harness_peer.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def jobs(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a job a mitigation, and two that cannot be done."""
    plain = describe_folder(write_model(folder / "model"), "local")
    write_manifest(plain, folder / "model.json")
    terms = open_model(plain, LOADING).tokenizer([f" {color}" for color in COLORS], add_special_tokens=False)
    change = {"kind": "attention", "layers": [0, 1, 2, 3], "alpha": 1.0, "terms": terms["input_ids"]}
    manifests = {"attention": describe_mitigated(change, plain), "prompt": plain, "unaffordable": None}
    for name, manifest in manifests.items():
        best = {"3": manifest and {"manifest": manifest}}
        write_manifest({"chosen": best}, folder / f"{name}.chosen.json")
    harness = {"tasks": ["fruit"], "folder": str(folder / "tasks"), "examples": None, "batch_size": 2}
    shared = {"loading": LOADING, "chat": {"chat": False}, "cost": 3.0, **harness}
    entries = {"prompt": {"kind": "prompt", "wording": WORDING}}
    for name in (*ALL, "unaffordable", "unknown", "absent"):
        chosen = str(folder / f"{name}.chosen.json") if name in manifests else []
        wrong = {"unknown": {"tasks": ["frut"]}, "absent": {"tasks": ["absent"]}}.get(name, {})
        params = {**shared, "entry": entries.get(name, {"kind": name}), **wrong}
        yield name, {"input": {"chosen": chosen, "manifest": str(folder / "model.json")}, "params": params}


def write_tasks(folder: Path) -> None:
    """Write the task ``fruit``, six questions of three answers, and one whose data are nowhere."""
    folder.mkdir()
    rows = [{"text": text, "right": color} for text, color in questions()]
    lines = "\n".join(json.dumps(row) for row in rows)
    (folder / "fruit.jsonl").write_text(lines + "\n", encoding="utf-8")
    shared = "test_split: test\noutput_type: multiple_choice\nmetric_list: [{metric: acc}]\n"
    shared += f"doc_to_text: '{{{{text}}}}'\ndoc_to_target: '{{{{right}}}}'\ndoc_to_choice: {json.dumps(COLORS)}\n"
    for name, files in (("fruit", folder / "fruit.jsonl"), ("absent", folder / "absent.jsonl")):
        data = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: '{files}'}}}}\n"
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{data}{shared}", encoding="utf-8")


def questions() -> list[tuple[str, str]]:
    """Return texts with a color each, and the color that is right; that of the text, or the next one."""
    following = dict(zip(COLORS, (*COLORS[1:], COLORS[0]), strict=True))
    same = [(f"The car is {color}. The fruit is", color) for color in COLORS]
    return same + [(f"The bag is {color}. The other car is", following[color]) for color in COLORS]


@torch.inference_mode()
def answers(manifest: dict[str, Any], before: str) -> list[list[float]]:
    """Return log p of each answer after each question, by the model itself."""
    model = open_model(manifest, LOADING)
    found = []
    for text, _ in questions():
        n_given = len(model.tokenizer(before + text, add_special_tokens=False)["input_ids"])
        found.append([])
        for color in COLORS:
            ids = model.tokenizer(f"{before}{text} {color}", add_special_tokens=False)["input_ids"]
            logprobs = model.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
            found[-1].append(float(sum(logprobs[at - 1, ids[at]] for at in range(n_given, len(ids)))))
    return found


def test_lm_eval_asks_the_mitigated_model(told: Path) -> None:
    plain = read_manifest(told / "model.json")
    changed = read_manifest(told / "attention.chosen.json")["chosen"]["3"]["manifest"]
    said = {"none": answers(plain, ""), "attention": answers(changed, ""), "prompt": answers(plain, f"{WORDING}\n\n")}
    for name, found in said.items():
        row = pd.read_parquet(told / f"{name}.parquet").iloc[0]
        right = [COLORS[int(np.argmax(own))] == color for own, (_, color) in zip(found, questions(), strict=True)]
        assert (row["task"], row["metric"], row["n_examples"]) == ("fruit", "acc", 6)
        assert row["values"].tolist() == [float(one) for one in right]
        assert row["value"] == pytest.approx(np.mean(right))
        assert row["stderr"] >= 0
    # Were a mitigation not there, it would answer as the model does.
    assert len({tuple(pd.read_parquet(told / f"{name}.parquet")["values"].iloc[0]) for name in ALL}) == len(ALL)
    assert pd.read_parquet(told / "unaffordable.parquet").empty


def test_a_task_that_is_not_there_is_one_line(told: Path) -> None:
    assert (told / "unknown.txt").read_text().startswith("trace.lm_eval.tasks: got 'frut'; allowed: ")
    absent = (told / "absent.txt").read_text()
    assert absent.startswith("trace.lm_eval.tasks: got absent, whose data cannot be loaded")
    assert "\n" not in absent
