"""Texts of lm-evaluation-harness: the lines of ``samples_<task>_<time>.jsonl``, as ``--log_samples`` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leakscope.errors import InputError, Mistakes
from leakscope.files.normal_form import composed
from leakscope.files.reading import MEGABYTE, parse_json, read_beginning, read_unpacked
from leakscope.leak.cells import at
from leakscope.leak.exchange.logged_texts import LoggedText, id_of, text_of
from leakscope.leak.exchange.task_functions import FILTER

ALLOWED = "a line of `samples_*.jsonl` as lm-eval writes it with `--log_samples`"
SUFFIXES = (".jsonl", ".ndjson")


def is_lm_eval(path: Path) -> bool:
    """Say whether a file is such a log: by its first line's keys ``doc`` and ``resps``."""
    inner = path.with_suffix("") if path.suffix in (".gz", ".zst") else path
    if inner.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    beginning, _ = read_beginning(path, 10 * MEGABYTE)
    first = next((line for line in beginning.split("\n") if line.strip()), "")
    return '"doc"' in first and '"resps"' in first


def read_lm_eval(path: Path) -> list[LoggedText]:
    """Return what each line says: all texts of its prompt, of the first filter where a task has several.

    Of the tasks that leakscope exports it is what their own filter leaves; of others what the model wrote, ``resps``.

    Raises:
        InputError: a line is no such record, or of a task without texts: all mistakes, a line each.
    """
    found, logged, kept = Mistakes(), list[LoggedText](), object()
    # Not splitlines(): lm-eval writes texts as they are, and one may hold other line separators, such as U+2028.
    for row, line in enumerate(read_unpacked(path).split("\n"), 1):
        with found.kept():
            record = parse_json(line, at(path, row), ALLOWED) if line.strip() else None
            if record is None:
                continue
            _check(record, path, row)
            kept = record.get("filter") if not logged else kept
            if record.get("filter") == kept:
                logged.append(_entry(record, path, row))
    found.end()
    if not logged:
        raise InputError(f"{path}: got no line; allowed: at least one, {ALLOWED}.")
    return logged


def _check(record: Any, path: Path, row: int) -> None:
    for key in ("doc", "resps"):
        if not isinstance(record, dict) or key not in record:
            raise InputError(f"{at(path, row)}: {key}: got nothing; allowed: {ALLOWED}.")


def _entry(record: dict[str, Any], path: Path, row: int) -> LoggedText:
    doc, ours = record["doc"], record.get("filter") == FILTER
    key = "filtered_resps" if ours else "resps"
    requests = record.get(key)
    texts = requests[0] if isinstance(requests, list) and len(requests) == 1 else None
    if not isinstance(texts, list) or not texts:
        allowed = "one list of texts, of a task with `output_type: generate_until`"
        raise InputError(f"{at(path, row)}: {key}: got {_kind(requests)}; allowed: {allowed}.")
    return LoggedText(row, id_of(doc), _prompts(record), tuple(text_of(text, path, row, key) for text in texts))


def _kind(requests: Any) -> str:
    if isinstance(requests, list):
        return f"a list of {len(requests)}"
    return type(requests).__name__


def _prompts(record: dict[str, Any]) -> tuple[str, ...]:
    """Return what may be the prompt: the task's own field of that name, what the model was given, any other field."""
    doc = record["doc"] if isinstance(record["doc"], dict) else {"doc": record["doc"]}
    given = record.get("arguments")
    first = next(iter(given.values()), None) if isinstance(given, dict) else None
    given = first.get("arg_0") if isinstance(first, dict) else None
    texts = [doc.get("prompt"), given, *doc.values()]
    return tuple(dict.fromkeys(composed(text) for text in texts if isinstance(text, str) and text))
