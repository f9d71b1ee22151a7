"""A model's texts as a log of inspect_ai: each prompt a sample, each of its texts an epoch; inspect_ai is not needed.

The log is a zip that its viewer reads sample by sample. Its form is that of inspect_ai's log schema, version 2.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.files.writing import replacing
from leakscope.leak.exchange.newest_log import TASK

VERSION = 2
# The first time that a zip can say: equal logs are equal bytes.
MADE = (1980, 1, 1, 0, 0, 0)
OF_PROMPT = ("concept", "concept_group", "category", "template_id", "control_id", "neutral_control_id")


class LoggedRun(NamedTuple):
    """What a log says beside its samples.

    model: its name.
    prompt_set: of the texts.
    written: when, seconds since 1970.
    metadata: of the whole log, values that JSON knows.
    """

    model: str
    prompt_set: str
    written: float
    metadata: Mapping[str, Any]


def inspect_samples(
    prompts: pd.DataFrame, texts: pd.DataFrame, scores: pd.DataFrame, model: str
) -> list[dict[str, Any]]:
    """Return a sample for each text, in the order of ``texts``.

    Args:
        prompts: of one prompt set.
        texts: of one model; with ``thought`` where it thinks first.
        scores: ``scorer, prompt_id, sample, similarity, match`` of the texts that are compared; either may be missing.
        model: what the log calls it.
    """
    own = prompts.set_index("prompt_id")
    of_text: dict[tuple[str, int], dict[str, Any]] = {}
    for row in scores.to_dict("records"):
        values = {row["scorer"]: row["similarity"], f"{row['scorer']} match": row["match"]}
        kept = {
            name: {"value": round(float(value), 6), "history": []}
            for name, value in values.items()
            if not pd.isna(value)
        }
        of_text.setdefault((row["prompt_id"], row["sample"]), {}).update(kept)
    return [
        _sample(own.loc[row["prompt_id"]], row, of_text.get((row["prompt_id"], row["sample"]), {}), model)
        for row in ({str(key): value for key, value in row.items()} for row in texts.to_dict("records"))
    ]


def write_inspect_log(samples: list[dict[str, Any]], run: LoggedRun, path: Path) -> None:
    """Write a log, whole or not at all; the same samples give the same bytes.

    Args:
        samples: as ``inspect_samples`` returns them.
        run: what they are of.
        path: of the log, ``.eval``.
    """
    start = {"version": VERSION, "eval": _spec(samples, run), "plan": {"name": "plan", "steps": [], "config": {}}}
    summaries = [_summary(sample) for sample in samples]
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        _put(packed, "_journal/start.json", start)
        for sample in samples:
            _put(packed, f"samples/{sample['id']}_epoch_{sample['epoch']}.json", sample)
        _put(packed, "_journal/summaries/1.json", summaries)
        _put(packed, "summaries.json", summaries)
        _put(packed, "header.json", {**start, **_results(samples, run)})


def _put(packed: zipfile.ZipFile, name: str, content: Any) -> None:
    member = zipfile.ZipInfo(name, MADE)
    member.compress_type = zipfile.ZIP_DEFLATED
    packed.writestr(member, json.dumps(content, ensure_ascii=False, allow_nan=False))


def _sample(prompt: pd.Series, text: Mapping[str, Any], scores: dict[str, Any], model: str) -> dict[str, Any]:
    answer = {"content": text["text"], "source": "generate", "role": "assistant", "model": model}
    question = {"content": prompt["prompt"], "role": "user"}
    thought = text.get("thought")
    metadata = {key: prompt[key] for key in OF_PROMPT if not pd.isna(prompt[key])}
    return {
        "id": text["prompt_id"],
        "epoch": int(text["sample"]) + 1,
        "input": prompt["prompt"],
        "target": metadata.get("concept", ""),
        "messages": [_identified(question, text), _identified(answer, text)],
        "output": {
            "model": model,
            "choices": [{"message": _identified(answer, text), "stop_reason": "stop"}],
            "completion": text["text"],
        },
        # The viewer's list of samples shows a score's answer.
        "scores": {name: {**score, "answer": text["text"]} for name, score in scores.items()},
        "metadata": {"prompt_id": text["prompt_id"], **metadata, **({"thought": thought} if thought else {})},
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    }


def _identified(message: dict[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with an id, which the viewer tells messages apart by."""
    return {"id": _hash(f"{text['prompt_id']}\n{text['sample']}\n{message['role']}"), **message}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:22]


def _summary(sample: dict[str, Any]) -> dict[str, Any]:
    keys = ("id", "epoch", "input", "target", "metadata", "scores", "model_usage")
    return {**{key: sample[key] for key in keys}, "completed": True}


def _spec(samples: list[dict[str, Any]], run: LoggedRun) -> dict[str, Any]:
    task = TASK.format(prompt_set=run.prompt_set)
    ids = list(dict.fromkeys(sample["id"] for sample in samples))
    return {
        "eval_id": _hash(f"{run.model}\n{run.prompt_set}"),
        "run_id": _hash(str(run.metadata)),
        "created": _time(run.written),
        "task": task,
        "task_id": _hash(task),
        "task_version": 0,
        "dataset": {"name": run.prompt_set, "samples": len(ids), "sample_ids": ids},
        "model": run.model,
        "config": {"epochs": max((sample["epoch"] for sample in samples), default=1)},
        "metadata": dict(run.metadata),
    }


def _results(samples: list[dict[str, Any]], run: LoggedRun) -> dict[str, Any]:
    return {
        "status": "success",
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [_score(name, values) for name, values in _values(samples)],
        },
        "stats": {"started_at": _time(run.written), "completed_at": _time(run.written), "model_usage": {}},
    }


def _values(samples: list[dict[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    """Yield each score's name and its values, of the texts that have one."""
    for name in dict.fromkeys(name for sample in samples for name in sample["scores"]):
        yield name, [sample["scores"][name]["value"] for sample in samples if name in sample["scores"]]


def _score(name: str, values: list[float]) -> dict[str, Any]:
    mean = {"name": "mean", "value": sum(values) / len(values), "params": {}}
    return {"name": name, "scorer": name, "params": {}, "metrics": {"mean": mean}, "scored_samples": len(values)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
