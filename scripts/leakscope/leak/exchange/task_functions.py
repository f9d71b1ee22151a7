"""What a task of lm-evaluation-harness is run with: its prompts, where texts end, and two plain measures of these.

Copied as ``utils.py`` into the folder of each exported task, so it imports nothing of leakscope.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

PROMPTS = "prompts.jsonl"
FILTER = "leakscope"
SENTENCE = re.compile(r"[^.!?]*[.!?]?")


def load(**_: Any) -> dict[str, Any]:
    """Return the prompts as the split ``test``; ``datasets`` comes with lm-eval. The working directory is any."""
    # Not splitlines(): a prompt may hold other line separators, such as U+2028.
    lines = Path(__file__).with_name(PROMPTS).read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    return {"test": importlib.import_module("datasets").Dataset.from_list(rows)}


def cut(responses: Iterable[Sequence[str]], docs: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield the texts of each prompt as leakscope keeps them: stripped, cut behind the first of ``.``, ``!``, ``?``."""
    for texts, doc in zip(responses, docs, strict=False):
        yield [_first(text) if doc["stop"] == "sentence" else text.strip() for text in texts]


def measure(doc: dict[str, Any], results: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the mean number of words of a prompt's texts, and the share of them that are empty."""
    texts = results[0]
    return {
        "words": sum(len(text.split()) for text in texts) / len(texts),
        "empty": sum(not text.strip() for text in texts) / len(texts),
    }


def _first(text: str) -> str:
    match = SENTENCE.match(text)
    return match[0].strip() if match else ""
