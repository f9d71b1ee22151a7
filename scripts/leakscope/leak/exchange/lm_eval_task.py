"""A prompt set as a folder that lm-evaluation-harness runs as it is, from any working directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.files.writing import replacing
from leakscope.files.writing_yaml import as_yaml
from leakscope.leak.exchange import task_functions
from leakscope.leak.exchange.newest_log import TASK

UTILS = "utils.py"
# Fields of a prompt that the harness keeps beside each text.
FIELDS = ("prompt_id", "control_id", "concept", "concept_group", "category", "template_id")
# Of `generate_until`, where our settings are numbers.
SAMPLING = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_new_tokens": "max_gen_toks"}
README = """# {task}

{n_prompts} prompts of leakscope's prompt set `{prompt_set}`, {samples} texts each, sampled as `{settings_of}` was.

```
lm-eval run --model hf --model_args pretrained=MODEL --include_path PATH/TO/{folder} --tasks {task} \\
    --log_samples --output_path OUT{chat}
```

`words` and `empty` are the mean number of words and the share of empty texts. How much leaks, leakscope says,
in a study that has the prompt set:

```yaml
study: {{name: from-lm-eval, models: [theirs], prompt_sets: [{prompt_set}]}}
models:
  theirs: {{source: generations, path: OUT}}
```

Texts are {ends}. {made_by}; SHA-256 of the prompts: {sha256}.
"""
CUT = "{function: custom, filter_fn: !function utils.cut}"
CHAT = " --apply_chat_template"
ENDS = {
    "sentence": "cut behind the first `.`, `!` or `?`",
    "whole_sentence": "not cut here, while the study cuts them behind their first sentence",
    "none": "not cut",
}


class Sampled(NamedTuple):
    """How a prompt set is sampled.

    settings: of the section ``generation``.
    of: whose they are.
    chat: whether prompts go through its chat template.
    """

    settings: Mapping[str, Any]
    of: str
    chat: bool


def task_rows(prompts: pd.DataFrame, settings: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row for each prompt: its fields, ``prompt``, ``input`` (what a model is given) and ``stop``.

    Controls of which more texts are wanted have several rows: the harness repeats all rows alike.
    """
    controls = set(prompts["control_id"].dropna())
    times = settings.get("control_samples", settings["samples"]) // settings["samples"]
    rows = []
    for row in prompts.to_dict("records"):
        fields = {key: "" if pd.isna(row[key]) else str(row[key]) for key in FIELDS}
        given = settings["template"].replace("{prompt}", row["prompt"])
        whole = {**fields, "prompt": row["prompt"], "input": given, "stop": settings["stop"]}
        rows += [whole] * (times if row["prompt_id"] in controls else 1)
    return rows


def task_config(prompt_set: str, sampled: Sampled, metadata: Mapping[str, Any]) -> str:
    """Return the task in YAML. Functions are tags of the harness's own, which no YAML library writes.

    A description is the system message of a chat. Before plain text nothing is put between the two: it has its break.
    """
    settings = sampled.settings
    config = {
        "task": TASK.format(prompt_set=prompt_set),
        "output_type": "generate_until",
        "test_split": "test",
        **({"description": settings["system"] + ("" if sampled.chat else "\n")} if settings["system"] else {}),
        "doc_to_text": "input",
        "doc_to_target": "concept",
        "num_fewshot": 0,
        "repeats": settings["samples"],
        "generation_kwargs": _kwargs(settings),
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": better}
            for name, better in (("words", True), ("empty", False))
        ],
        "metadata": {"version": 1.0, **metadata},
    }
    functions = [
        "custom_dataset: !function utils.load",
        "process_results: !function utils.measure",
        f"filter_list: [{{name: {task_functions.FILTER}, filter: [{CUT}]}}]",
    ]
    return as_yaml(config) + "\n".join(functions) + "\n"


def _kwargs(settings: Mapping[str, Any]) -> dict[str, Any]:
    kept = {theirs: settings[ours] for ours, theirs in SAMPLING.items() if not isinstance(settings[ours], str)}
    penalty = settings["repetition_penalty"]
    if not isinstance(penalty, str):
        kept["repetition_penalty"] = penalty
    return {"until": [], "do_sample": settings["temperature"] > 0, **kept}


def write_task(
    prompts: pd.DataFrame, prompt_set: str, sampled: Sampled, metadata: Mapping[str, Any], folder: Path
) -> None:
    """Write ``<task>.yaml``, ``prompts.jsonl``, ``utils.py`` and ``README.md`` into a folder.

    Args:
        prompts: of the prompt set.
        prompt_set: its name.
        sampled: how texts are sampled.
        metadata: what the harness writes beside its results: ``leakscope``, ``prompts_sha256``.
        folder: of the task.
    """
    task, rows = TASK.format(prompt_set=prompt_set), task_rows(prompts, sampled.settings)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    readme = README.format(
        task=task,
        n_prompts=len(prompts),
        prompt_set=prompt_set,
        samples=sampled.settings["samples"],
        settings_of=sampled.of,
        folder=folder.name,
        chat=CHAT if sampled.chat else "",
        ends=ENDS[sampled.settings["stop"]],
        made_by=_made_by(metadata["leakscope"]),
        sha256=metadata["prompts_sha256"],
    )
    contents = {
        f"{task}.yaml": task_config(prompt_set, sampled, metadata),
        task_functions.PROMPTS: lines,
        UTILS: Path(task_functions.__file__).read_text(encoding="utf-8"),
        "README.md": readme,
    }
    for name, content in contents.items():
        with replacing(folder / name) as part:
            part.write_text(content, encoding="utf-8")


def _made_by(leakscope: Mapping[str, Any]) -> str:
    return f"Written by leakscope {leakscope['version']}, commit {leakscope['commit'] or 'unknown'}"
