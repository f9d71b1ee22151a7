"""Items from RankAlign's files, which contain public data sets in their own formats.

Every candidate in these files is labelled, so no wrong ones are drawn:

    pairs     .txt, tab-separated, without a header: noun, hypernym, yes or no, high or low similarity; more is ignored
    swords    .json, a list of {context, target, substitutes: [[word, percent of annotators], ...]}
    lambada   .jsonl of {context, final_word, correct}
    triviaqa  .jsonl of {question, answers: [candidate, ...], correct}

Source: Rodriguez et al. 2025 (arXiv 2504.11381) and its code.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from leakscope.errors import InputError, counted, one_of
from leakscope.files.reading import parse_json, read_utf8
from leakscope.validate.tasks.items import UNKNOWN, item_table, read_label

logger = logging.getLogger(__name__)

ACCEPTABLE_PERCENT = 50
SIMILAR = {"high": "near", "low": "far"}

Row = Mapping[str, Any]
Items = list[dict[str, Any]]


def rankalign_items(path: Path, reader: str, marks: tuple[str, str]) -> pd.DataFrame | None:
    """Return the items of a file in RankAlign's format, or None if it has another format.

    Repeated pairs of question and candidate are read once, and skipped if labelled both right and wrong. Rows without a
    question or a candidate are skipped. Skipped rows are logged.

    Args:
        path: the file.
        reader: the reader of the data set.
        marks: marks around the target word in a sentence of SWORDS. The file does not give the word's place, so every
            occurrence as a separate word is marked.

    Raises:
        InputError: the file starts in RankAlign's format and continues in another, or lacks right or wrong items.
    """
    form = FORMS.get(reader)
    rows = form(path, marks) if form else None
    return None if rows is None else _each_once(rows, path)


def _pairs(path: Path, marks: tuple[str, str]) -> Items | None:
    if path.suffix.lower() != ".txt":
        return None
    items: Items = []
    for number, line in enumerate(read_utf8(path).split("\n"), 1):
        if not line.strip():
            continue
        where, fields = f"{path}, line {number}", [field.strip() for field in line.split("\t")]
        if len(fields) < 4:
            allowed = "noun, hypernym, yes or no, high or low, with tabs between them"
            raise InputError(f"{where}: got {counted(len(fields), 'field', 'fields')}; allowed: {allowed}.")
        noun, hypernym, label, similarity = fields[:4]
        if similarity not in SIMILAR:
            raise one_of(f"{where}: field 4", similarity, SIMILAR)
        right = read_label(label, f"{where}: field 3")
        items.append(_item(noun, hypernym, right, noun, UNKNOWN if right else SIMILAR[similarity], name=noun))
    return items


def _swords(path: Path, marks: tuple[str, str]) -> Items | None:
    if path.suffix.lower() != ".json" or not read_utf8(path).lstrip().startswith("["):
        return None
    entries = parse_json(read_utf8(path), str(path), "JSON")
    if not entries or not isinstance(entries[0], dict) or "substitutes" not in entries[0]:
        return None
    items: Items = []
    left_out = 0
    for number, entry in enumerate(entries, 1):
        where = f"{path}, entry {number}"
        question = _marked(_text(entry, "context", where), _text(entry, "target", where), marks)
        left_out += question is None
        if question is not None:
            for word, percent in _substitutes(entry, where):
                distance = UNKNOWN if percent > ACCEPTABLE_PERCENT else "near" if percent > 0 else "far"
                items.append(_item(question, word, percent > ACCEPTABLE_PERCENT, entry["context"], distance))
    if left_out:
        cause = "the target is not a separate word in the context, or the context has a mark"
        logger.warning("%s: skips %d of %d entries: %s", path, left_out, len(entries), cause)
    return items


def _lambada(path: Path, marks: tuple[str, str]) -> Items | None:
    return _labelled(path, "final_word", "context", lambda row, where: _text(row, "final_word", where).strip())


def _triviaqa(path: Path, marks: tuple[str, str]) -> Items | None:
    return _labelled(path, "answers", "question", _first_answer)


FORMS: Mapping[str, Callable[[Path, tuple[str, str]], Items | None]] = {
    "pairs": _pairs,
    "swords": _swords,
    "lambada": _lambada,
    "triviaqa": _triviaqa,
}


def _labelled(path: Path, answer: str, asked: str, candidate: Callable[[Row, str], str]) -> Items | None:
    """Return the items of objects with a label, ``correct``."""
    items: Items = []
    for where, row in _rows(path, (answer, "correct")):
        question = _text(row, asked, where).strip()
        label = read_label(str(row["correct"]), f"{where}: key 'correct'")
        items.append(_item(question, candidate(row, where), label, question))
    return items or None


def _item(
    question: str, candidate: str, positive: bool, cluster: str, distance: str = UNKNOWN, name: str | None = None
) -> dict[str, Any]:
    return {
        "item_id": f"{name or _hashed(question)}/{candidate}",
        "question": question,
        "candidate": candidate,
        "positive": positive,
        "cluster": name or _hashed(cluster),
        "distance": distance,
    }


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _each_once(items: Items, path: Path) -> pd.DataFrame:
    """Return items as a table, without empty, repeated and contradictory items."""
    whole = [item for item in items if item["question"].strip() and item["candidate"].strip()]
    labels: dict[tuple[str, str], set[bool]] = {}
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for item in whole:
        pair = item["question"].casefold(), item["candidate"].casefold()
        labels.setdefault(pair, set()).add(item["positive"])
        first.setdefault(pair, item)
    clear = [item for pair, item in first.items() if len(labels[pair]) == 1]
    for number, cause in (
        (len(items) - len(whole), "without a question or a candidate"),
        (len(first) - len(clear), "the same candidate of the same question is labelled both right and wrong"),
    ):
        if number:
            logger.warning("%s: skips %s: %s", path, counted(number, "item", "items"), cause)
    return item_table(clear, str(path))


def _rows(path: Path, keys: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Yield every object of a .jsonl file, with its place; none if the first one lacks the keys."""
    lines = read_utf8(path).split("\n") if path.suffix.lower() == ".jsonl" else []
    begun = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = parse_json(line, where, "JSON")
        missing = [key for key in keys if not isinstance(row, dict) or key not in row]
        if missing and not begun:
            return
        if missing:
            raise InputError(f"{where}: got no key {missing[0]!r}; allowed: an object with it, as on the first line.")
        begun = True
        yield where, row


def _substitutes(entry: Row, where: str) -> Iterator[tuple[str, float]]:
    substitutes = entry.get("substitutes")
    for pair in substitutes if isinstance(substitutes, list) else [substitutes]:
        match pair:
            case [str(word), int(percent) | float(percent)] if 0 <= percent <= 100:
                yield word.strip(), percent
            case _:
                raise InputError(f"{where}: key 'substitutes': got {str(pair)[:60]}; allowed: [word, percent].")


def _marked(context: str, word: str, marks: Sequence[str]) -> str | None:
    """Return a context with marks around every occurrence of a word; None without occurrence or with a mark in it."""
    if any(mark in context for mark in marks):
        return None
    marked, n_places = re.subn(rf"(?<!\w){re.escape(word)}(?!\w)", lambda match: match[0].join(marks), context)
    return " ".join(marked.split()) if n_places else None


def _first_answer(row: Row, where: str) -> str:
    answers = row["answers"]
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise InputError(f"{where}: key 'answers': got {str(answers)[:60]}; allowed: a list of texts.")
    return answers[0].strip() if answers else ""


def _text(row: Any, key: str, where: str) -> str:
    value = row.get(key) if isinstance(row, dict) else row
    if not isinstance(value, str):
        raise InputError(f"{where}: key {key!r}: got {str(value)[:60]}; allowed: text.")
    return value
