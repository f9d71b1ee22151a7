"""Logs of other tools as these write them, cut down to what is read, for tests of imports."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import zstandard

PROMPTS = {"bag/without": "I ate", "bag/red": "The bag is red. I ate", "bag/blue": "The bag is blue. I ate"}
TEXTS = {"bag/without": ["a pear.", "bread."], "bag/red": ["a cherry.", ""], "bag/blue": ["a plum.", "a fig."]}


def prompt_table() -> pd.DataFrame:
    """Return a prompts table of one template with two colors."""
    rows = [
        (name, prompt, None if name == "bag/without" else "bag/without", name[4:]) for name, prompt in PROMPTS.items()
    ]
    table = pd.DataFrame(rows, columns=["prompt_id", "prompt", "control_id", "concept"]).astype("object")
    table.loc[0, "concept"] = None
    return table.assign(
        prompt_set="micro", template_id="bag", category="objects", concept_group=table["concept"],
        neutral_control_id=None, made="no",
    )  # fmt: skip


def lm_eval_lines(**changes: Any) -> list[dict[str, Any]]:
    """Return records of ``samples_*.jsonl`` of somebody's own task, which knows no id of ours."""
    return [
        {
            "doc_id": number,
            "doc": {"question": prompt},
            "arguments": {"gen_args_0": {"arg_0": f"User: {prompt}", "arg_1": {"until": []}}},
            "resps": [TEXTS[name]],
            "filtered_resps": [TEXTS[name][0]],
            "filter": "none",
            **changes,
        }
        for number, (name, prompt) in enumerate(PROMPTS.items())
    ]


def write_lines(records: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def inspect_samples() -> list[dict[str, Any]]:
    """Return samples of somebody's own task: ids are numbers, epochs are out of order, contents are of both forms."""
    return [
        {
            "id": number,
            "epoch": epoch + 1,
            "input": prompt
            if epoch
            else [{"role": "system", "content": "Go on."}, {"role": "user", "content": prompt}],
            "output": {"choices": [{"message": {"role": "assistant", "content": _content(TEXTS[name][epoch], epoch)}}]},
            "metadata": {},
        }
        for epoch in (1, 0)
        for number, (name, prompt) in enumerate(PROMPTS.items(), 1)
    ]


def _content(text: str, epoch: int) -> Any:
    return [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": text}] if epoch else text


def write_zipped(samples: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write a log whose members are packed by Zstandard, in two frames, as inspect_ai packs large ones.

    Python's zip files do not know the method: members are stored packed, then their method is written over.
    """
    members = {f"samples/{sample['id']}_epoch_{sample['epoch']}.json": json.dumps(sample) for sample in samples}
    sizes = {}
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in members.items():
            data, half = text.encode(), len(text) // 2
            frames = [zstandard.ZstdCompressor().compress(part) for part in (data[:half], data[half:])]
            packed.writestr(name, b"".join(frames))
            sizes[name] = len(data)
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02")
    for name in members:
        content[place + 10 : place + 12] = (93).to_bytes(2, "little")
        content[place + 24 : place + 28] = sizes[name].to_bytes(4, "little")
        place = content.find(b"PK\x01\x02", place + 46)
    path.write_bytes(content)
    return path
