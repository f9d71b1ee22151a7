"""Exports are what other tools read, and logs of these come back as the texts that they hold."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from harness_logs import PROMPTS, TEXTS, inspect_samples, lm_eval_lines, prompt_table, write_lines, write_zipped
from leakscope.errors import InputError
from leakscope.files.tables import read_csv
from leakscope.leak.exchange import task_functions
from leakscope.leak.exchange.inspect_log import LoggedRun, write_inspect_log
from leakscope.leak.exchange.inspect_log import inspect_samples as our_samples
from leakscope.leak.exchange.lm_eval_task import Sampled, task_config, task_rows, write_task
from leakscope.leak.exchange.model_page import eval_results, model_index
from leakscope.leak.exchange.newest_log import newest_log
from leakscope.leak.exchange.task_functions import cut, measure
from leakscope.leak.exchange.text_scores import text_scores
from leakscope.leak.imported_texts import Imported, check_texts, import_generations
from workspace import Workspace

HASHES = {"micro": "ab" * 32}
MADE_BY = {"version": "0.1.0", "commit": "c0ffee", "changed": False}
SETTINGS = {
    "samples": 2,
    "temperature": 0.5,
    "top_p": "model",
    "top_k": 0,
    "repetition_penalty": "model",
    "max_new_tokens": 10,
    "stop": "sentence",
    "system": "Be brief.",
    "template": "Go on: {prompt} {x}",
}


def brought(path: Path) -> Imported:
    return import_generations(path, prompt_table(), "m", "micro", None, Path("prompts.csv"))


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        brought(path)
    assert len(str(caught.value)) <= 400
    return str(caught.value)


def texts_of(imported: Imported) -> dict[str, list[str]]:
    return {str(name): list(part["text"]) for name, part in imported.generations.groupby("prompt_id", sort=False)}


# ---- a model's page on the hub


def rates() -> pd.DataFrame:
    rows = [
        ("micro", "lexical", "all", 61.234567, 55.5, 67.891, 9),
        ("micro", "lexical", "objects", 70.0, 60.0, 80.0, 4),
        ("micro", "sbert", "all", 52.5, None, None, 1),
        ("micro", "empty", "all", None, None, None, 0),
    ]
    return pd.DataFrame(
        rows, columns=["prompt_set", "scorer", "category", "match_rate", "ci_low", "ci_high", "n_clusters"]
    )


def test_the_hubs_own_code_reads_a_model_index() -> None:
    content = yaml.safe_load(yaml.safe_dump(model_index(rates(), "My model", HASHES, 0.95, MADE_BY)))
    name, results = model_index_to_eval_results(content["model-index"])
    assert name == "My model"
    assert [(result.metric_value, result.metric_args["scorer"]) for result in results] == [
        (61.23, "lexical"),
        (52.5, "sbert"),
    ]
    assert results[0].dataset_revision == HASHES["micro"]
    assert results[0].metric_args["ci_high"] == 67.89
    assert "ci_low" not in results[1].metric_args  # the hub leaves out what is null
    assert results[0].metric_args["leakscope"]["commit"] == "c0ffee"


def test_the_hubs_own_code_reads_eval_results() -> None:
    content = yaml.safe_load(yaml.safe_dump(eval_results(rates(), HASHES, 0.975, MADE_BY, "2026-01-02T03:04:05+00:00")))
    first, second = parse_eval_result_entries(content)
    assert (first.dataset_id, first.task_id, first.value) == ("leakscope/micro", "match_rate_lexical", 61.23)
    assert first.dataset_revision == HASHES["micro"]
    assert first.notes is not None
    assert "97.5% interval 55.5 to 67.89, 9 clusters" in first.notes
    assert second.notes is not None
    assert "no interval" in second.notes


# ---- inspect_ai


def our_log(path: Path) -> pd.DataFrame:
    rows = [("m", "micro", name, k, text) for name, texts in TEXTS.items() for k, text in enumerate(texts)]
    texts = pd.DataFrame(rows, columns=["model", "prompt_set", "prompt_id", "sample", "text"])
    similarity = {"s": pd.DataFrame({"concept": ["red"], "text": ["a cherry."], "similarity": [0.25]})}
    matches = pd.DataFrame({"scorer": ["s"], "prompt_id": ["bag/red"], "sample": [0], "match": [1.0]})
    scores = text_scores(prompt_table(), texts, similarity, matches)
    run = LoggedRun("m", "micro", 1_700_000_000.0, {"leakscope": MADE_BY})
    write_inspect_log(our_samples(prompt_table(), texts, scores, "m"), run, path)
    return texts


def test_texts_come_back_from_the_log_that_they_are_written_to(tmp_path: Path) -> None:
    texts = our_log(tmp_path / "micro.eval")
    imported = brought(tmp_path / "micro.eval")
    pd.testing.assert_frame_equal(imported.generations, texts, check_dtype=False)
    assert imported.warnings == []
    again = (tmp_path / "micro.eval").read_bytes()
    our_log(tmp_path / "micro.eval")
    assert (tmp_path / "micro.eval").read_bytes() == again


def test_a_text_has_the_scores_that_are_known_of_it() -> None:
    texts = pd.DataFrame({"prompt_id": ["bag/red", "bag/red"], "sample": [0, 1], "text": ["a cherry.", ""]})
    similarity = {"s": pd.DataFrame({"concept": ["red"], "text": ["a cherry."], "similarity": [0.25]})}
    matches = pd.DataFrame({"scorer": ["s", "s"], "prompt_id": ["bag/red"] * 2, "sample": [0, 1], "match": [1.0, 0.5]})
    first, second = our_samples(prompt_table(), texts, text_scores(prompt_table(), texts, similarity, matches), "m")
    assert {name: score["value"] for name, score in first["scores"].items()} == {"s": 0.25, "s match": 1.0}
    assert {name: score["value"] for name, score in second["scores"].items()} == {"s match": 0.5}


@pytest.mark.parametrize("suffix", [".eval", ".json"])
def test_a_log_of_somebody_elses_is_joined_by_the_words_of_prompts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    if suffix == ".eval":
        write_zipped(inspect_samples(), path)
    else:
        log = {"version": 2, "status": "success", "eval": {}, "samples": inspect_samples()}
        path.write_text(json.dumps(log), encoding="utf-8")
    assert texts_of(brought(path)) == TEXTS


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"output": {"choices": []}}, ["row 2: output.choices: got nothing; allowed: "]),
        ({"output": None, "error": {"message": "x"}}, ["row 2: output.choices: got an error"]),
        ({"epoch": "1"}, ["row 2: epoch: got '1'; allowed: a whole number"]),
        ({"output": {"choices": [{"message": {}}]}}, ["row 2: output.choices.message.content: got NoneType"]),
    ],
)
def test_a_wrong_sample_is_one_line(tmp_path: Path, change: dict[str, Any], parts: list[str]) -> None:
    samples = inspect_samples()
    samples[1] |= change
    log = {"version": 2, "status": "success", "eval": {}, "samples": samples}
    (tmp_path / "log.json").write_text(json.dumps(log), encoding="utf-8")
    message = refusal(tmp_path / "log.json")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_parts_that_are_kept_elsewhere_are_looked_up_each_by_itself(tmp_path: Path) -> None:
    samples = inspect_samples()
    for sample in samples:
        (choice,) = sample["output"]["choices"]
        parts = [{"type": "text", "text": f"attachment://{name}"} for name in ("one", "two")]
        choice["message"] = {"content": parts}
        sample["attachments"] = {**(sample.get("attachments") or {}), "one": "a ", "two": "pear."}
    write_zipped(samples, tmp_path / "log.eval")
    assert texts_of(brought(tmp_path / "log.eval"))["bag/red"] == ["a pear.", "a pear."]
    del samples[0]["attachments"]["two"]
    write_zipped(samples, tmp_path / "log.eval")
    assert "row 1: output.choices.message.content: got NoneType; allowed: a text" in refusal(tmp_path / "log.eval")


def test_a_damaged_log_is_one_line(tmp_path: Path) -> None:
    path = write_zipped(inspect_samples(), tmp_path / "log.eval")
    path.write_bytes(path.read_bytes()[:-40])
    assert "allowed: a log as inspect_ai writes it" in refusal(path)
    (tmp_path / "header.json").write_text('{"version": 2, "status": "success", "eval": {}}', encoding="utf-8")
    assert "without samples" in refusal(tmp_path / "header.json")


# ---- lm-eval


def test_lines_of_lm_eval_are_joined_by_the_words_of_prompts(tmp_path: Path) -> None:
    path = write_lines(lm_eval_lines(), tmp_path / "mine.jsonl")
    assert texts_of(brought(path)) == TEXTS
    check_texts(path, rows=1000)


def test_a_line_separator_in_a_text_ends_no_line(tmp_path: Path) -> None:
    lines = [{**line, "resps": [["a\u2028b\x85c", "d"]]} for line in lm_eval_lines()]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    assert texts_of(brought(path))["bag/red"] == ["a\u2028b\x85c", "d"]


def test_of_several_filters_one_is_read(tmp_path: Path) -> None:
    lines = [*lm_eval_lines(), *lm_eval_lines(filter="strict")]
    assert texts_of(brought(write_lines(lines, tmp_path / "mine.jsonl"))) == TEXTS


def test_a_line_of_our_task_has_an_id_and_texts_as_the_task_cuts_them(tmp_path: Path) -> None:
    lines = []
    for name, texts in TEXTS.items():
        line = {"doc": {"prompt_id": name, "prompt": "other words"}, "filter": "leakscope"}
        lines.append({**line, "resps": [[f"{text} More." for text in texts]], "filtered_resps": [texts]})
    imported = brought(write_lines(lines, tmp_path / "mine.jsonl"))
    assert texts_of(imported) == TEXTS
    assert "3 rows" in imported.warnings[0] or "have another prompt" in imported.warnings[0]


def test_rows_of_no_prompt_are_counted(tmp_path: Path) -> None:
    strangers = [{**line, "doc": {"question": "Who?"}, "arguments": {}} for line in lm_eval_lines()]
    message = refusal(write_lines(strangers, tmp_path / "mine.jsonl"))
    assert (
        "got 3 rows (first: row 1, 'Who?') without a match in prompts.csv; allowed: prompts of prompts.csv, by"
        in message
    )
    mixed = write_lines([*lm_eval_lines(), *strangers], tmp_path / "mixed.jsonl")
    assert "3 rows (first: row 4, 'Who?')" in brought(mixed).warnings[0]
    missing = write_lines([*lm_eval_lines()[:2], *strangers], tmp_path / "missing.jsonl")
    assert "got no text for 1 prompt ('bag/blue')" in refusal(missing)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"resps": [[["-1.5", "False"]]]}, "row 2: resps: got list; allowed: a text"),
        ({"resps": [["-1"], ["-2"]]}, "row 2: resps: got a list of 2; allowed: one list of texts"),
        ({"resps": "a"}, "row 2: resps: got str"),
        ({"resps": [[]]}, "row 2: resps: got a list of 1"),
    ],
)
def test_a_wrong_line_is_one_line(tmp_path: Path, change: dict[str, Any], part: str) -> None:
    lines = lm_eval_lines()
    lines[1] |= change
    message = refusal(write_lines(lines, tmp_path / "mine.jsonl"))
    assert part in message
    assert "\n" not in message


def test_a_broken_line_says_which(tmp_path: Path) -> None:
    path = write_lines(lm_eval_lines(), tmp_path / "mine.jsonl")
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    assert "row 3: got invalid JSON" in refusal(path)


def test_a_task_repeats_controls_of_which_more_texts_are_wanted() -> None:
    rows = task_rows(prompt_table(), {**SETTINGS, "control_samples": 4})
    assert [row["prompt_id"] for row in rows] == ["bag/without", "bag/without", "bag/red", "bag/blue"]
    assert rows[2]["input"] == "Go on: The bag is red. I ate {x}"
    assert rows[2]["prompt"] == PROMPTS["bag/red"]


def test_a_task_samples_as_the_study_does(tmp_path: Path) -> None:
    metadata = {"leakscope": MADE_BY, "prompts_sha256": HASHES["micro"]}
    write_task(prompt_table(), "micro", Sampled(SETTINGS, "m", chat=True), metadata, tmp_path)
    text = (tmp_path / "leakscope_micro.yaml").read_text(encoding="utf-8")
    config = yaml.safe_load(text.replace("!function ", ""))
    kwargs = {"until": [], "do_sample": True, "temperature": 0.5, "top_k": 0, "max_gen_toks": 10}
    assert (config["generation_kwargs"], config["repeats"], config["description"]) == (kwargs, 2, "Be brief.")
    assert config["metadata"]["leakscope"]["commit"] == "c0ffee"
    plain = yaml.safe_load(task_config("micro", Sampled(SETTINGS, "m", chat=False), metadata).replace("!function ", ""))
    assert plain["description"] == "Be brief.\n"
    assert "--apply_chat_template" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_task_loads_prompts_with_any_line_separator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = prompt_table().assign(prompt="The bag\u2028is\x85red.")
    write_task(
        prompts, "micro", Sampled(SETTINGS, "m", chat=True), {"leakscope": MADE_BY, "prompts_sha256": ""}, tmp_path
    )
    monkeypatch.setattr(task_functions, "__file__", str(tmp_path / "utils.py"))
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(Dataset=SimpleNamespace(from_list=list)))
    assert [row["prompt"] for row in task_functions.load()["test"]] == prompts["prompt"].tolist()


def test_a_task_cuts_and_measures_texts() -> None:
    docs = [{"stop": "sentence"}, {"stop": "none"}]
    texts = list(cut([[" red! Yes.", ""], [" a b. c "]], docs))
    assert texts == [["red!", ""], ["a b. c"]]
    assert measure({}, [["a b. c", "  "]]) == {"words": 1.5, "empty": 0.5}


# ---- folders of logs


def test_of_a_folder_the_newest_log_of_the_prompt_set_is_read(tmp_path: Path) -> None:
    for name in (
        "a/samples_leakscope_colors_2026-01-02T03-04-05.000000.jsonl",
        "b/samples_leakscope_colors_2025-01-02T03-04-05.000000.jsonl",
        "b/samples_leakscope_basic_colors_2026-05-02T03-04-05.000000.jsonl",
        "b/results_2026-05-02T03-04-05.json",
    ):
        write_lines([], tmp_path / name)
    assert newest_log(tmp_path, "colors").parent.name == "a"
    with pytest.raises(InputError, match="several tasks .leakscope_basic_colors, leakscope_colors."):
        newest_log(tmp_path, "sentences")
    logs = tmp_path / "logs"
    for day in ("01", "03", "02"):
        write_lines([], logs / f"2026-01-{day}T03-04-05+00-00_my-task_ab12.eval")
    assert newest_log(logs, "colors").name.startswith("2026-01-03")
    for model in ("m", "n"):  # as our exports are
        write_lines([], tmp_path / "exports" / model / "colors.eval")
    with pytest.raises(InputError, match=r"got 2 logs of the same time .m/colors.eval, n/colors.eval."):
        newest_log(tmp_path / "exports", "colors")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="a folder without logs"):
        newest_log(tmp_path / "none", "colors")


# ---- the workflow


@pytest.mark.workflow
def test_a_study_exports_and_takes_its_log_back(finished: Workspace, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path / "copy")
    copy.run("--cores", "1", "exports")
    exports = copy.folder / "results/micro/exports"
    index = yaml.safe_load((exports / "tiny-l100/model-index.yaml").read_text(encoding="utf-8"))
    rates = read_csv(copy.folder / "results/micro/match_rates.csv")
    own = rates[(rates["model"] == "tiny-l100") & (rates["category"] == "all")]
    results = model_index_to_eval_results(index["model-index"])[1]
    assert [result.metric_value for result in results] == own["match_rate"].round(2).tolist()
    assert (exports / "lm-eval/micro/leakscope_micro.yaml").is_file()
    models = {"theirs": {"source": "generations", "path": "results/micro/exports/tiny-l100"}}
    again = {**copy.study, "study": {**copy.study["study"], "name": "again", "models": ["theirs"]}}
    again["models"] = {**copy.study["models"], **models}
    copy.run("--cores", "1", "results/again/generations/theirs/micro.csv", study=again)
    given, taken = (
        read_csv(copy.folder / f"results/{path}/micro.csv").drop(columns="model")
        for path in ("micro/generations/tiny-l100", "again/generations/theirs")
    )
    pd.testing.assert_frame_equal(taken, given)
