"""Readers of items from users' copies of data sets, in the formats that the authors distribute.

A reader takes a file and a seed and returns items (see ``items.item_table``); ``READERS`` maps names to readers.
LAMBADA and TriviaQA contain only right answers: their readers draw wrong ones from the answers to other questions, by a
seeded hash of the question, so that the draw does not depend on the order of rows or on repeated rows.
"""

from __future__ import annotations

import hashlib
import logging
import re
import string
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError, one_of
from leakscope.files.known_formats import known_format
from leakscope.files.reading import parse_json, read_object, read_utf8
from leakscope.files.tables import read_table
from leakscope.statistics.seeding import seeded_hash
from leakscope.validate.tasks.items import ITEM_COLUMNS, UNKNOWN, item_table, read_label
from leakscope.validate.tasks.rankalign import rankalign_items

logger = logging.getLogger(__name__)

PAIR_COLUMNS = ("noun1", "noun2", "taxonomic")
MARKS = ("[[", "]]")
"""Marks around the target word in a sentence of SWORDS."""

ACCEPTABLE = 0.5
TRUE_LABELS = ("TRUE", "TRUE_IMPLICIT")
SWORDS_LABELS = (*TRUE_LABELS, "FALSE", "FALSE_IMPLICIT", "UNSURE")
_ARTICLES = re.compile(r"\b(a|an|the)\b")

Reader = Callable[[Path, int], pd.DataFrame]


class Answered(NamedTuple):
    """A question with its right answer; ``excluded`` are normalized texts that must not be drawn as wrong answers."""

    id: str
    question: str
    answer: str
    excluded: frozenset[str]


def read_items(path: Path, reader: str, seed: int) -> pd.DataFrame:
    """Return the items of a file, read by the named reader.

    The file may have the format of the data set's authors or that of RankAlign (``rankalign``), which is detected.

    Args:
        path: the file.
        reader: a key of ``READERS``.
        seed: of the draw of wrong answers, if the file has none.

    Raises:
        InputError: the reader is unknown, or the file has another format.
    """
    if reader not in READERS:
        raise one_of(f"{path}: reader", reader, READERS)
    theirs = rankalign_items(path, reader, MARKS)
    return READERS[reader](path, seed) if theirs is None else theirs


def check_items(path: Path, reader: str) -> None:
    """Check the format of a file of items before any job starts, without drawing wrong answers.

    Raises:
        InputError: as ``read_items``.
    """
    if rankalign_items(path, reader, MARKS) is not None:
        return
    if reader == "lambada":
        _passages(path)
    elif reader == "triviaqa":
        list(_trivia(path))
    else:
        READERS[reader](path, 0)


def read_records(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a user's table, every cell as text.

    Raises:
        InputError: the file cannot be read, or lacks one of ``columns``.
    """
    return records_of(read_table(path), path, columns)


def records_of(table: pd.DataFrame, path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a table already read from a file, as ``read_records``."""
    missing = [column for column in columns if column not in table]
    if missing:
        public = known_format(table.columns)
        present = public.what if public else f"the columns {', '.join(map(str, table.columns))}"
        raise InputError(
            f"{path}: got {present}, and no column {missing[0]!r}; allowed: a table with {', '.join(columns)}."
        )
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def read_item_table(path: Path, seed: int) -> pd.DataFrame:
    """Return the items of a table with the columns of ``schemas/task_items.schema.json``.

    Raises:
        InputError: a column is missing, or a cell has a value that is not allowed.
    """
    rows = read_records(path, ITEM_COLUMNS)
    labels = [read_label(row["positive"], f"{path}, item {i}: column 'positive'") for i, row in enumerate(rows, 1)]
    items = [
        {**{key: row[key].strip() for key in ITEM_COLUMNS}, "positive": label}
        for row, label in zip(rows, labels, strict=True)
    ]
    return item_table([{**item, "distance": item["distance"] or UNKNOWN} for item in items], str(path))


def read_pairs(path: Path, seed: int) -> pd.DataFrame:
    """Return the items of a table of pairs, ``noun1, noun2, taxonomic`` and optionally ``distance``.

    The first noun is the question and the cluster, the second the candidate.

    Raises:
        InputError: a column is missing, a noun is empty, ``taxonomic`` is neither yes nor no, or a pair is repeated.
    """
    items = []
    for i, row in enumerate(read_records(path, PAIR_COLUMNS), 1):
        noun, candidate = row["noun1"].strip(), row["noun2"].strip()
        items.append(
            {
                "item_id": f"{noun}/{candidate}",
                "question": noun,
                "candidate": candidate,
                "positive": read_label(row["taxonomic"], f"{path}, item {i}: column 'taxonomic'"),
                "cluster": noun,
                "distance": row.get("distance", "").strip() or UNKNOWN,
            }
        )
    return item_table(items, str(path))


def read_swords(path: Path, seed: int) -> pd.DataFrame:
    """Return the items of a SWORDS file, .json or .json.gz: can the substitute replace the marked word?

    The question is the context with ``MARKS`` around the target at its offset, and normalised white space. A substitute
    is positive if more than half of its labels are positive, else near if any is, else far. Targets whose context
    already contains a mark are excluded.

    Raises:
        InputError: the file has another format, an id does not exist, or the target is not at its offset.

    Source: Lee et al. 2021 (arXiv 2106.04102): acceptable and conceivable substitutes.
    """
    content = read_object(path, "an object")
    contexts, targets, substitutes, labels = (
        _mapping(content, key, str(path)) for key in ("contexts", "targets", "substitutes", "substitute_labels")
    )
    questions = {name: _marked(contexts, target, f"{path}: target {name!r}") for name, target in targets.items()}
    unclear = [name for name, (_, question) in questions.items() if question is None]
    if unclear:
        logger.warning("%s: skips %d of %d targets: the context has a mark", path, len(unclear), len(targets))
    items = []
    for name, substitute in substitutes.items():
        where = f"{path}: substitute {name!r}"
        cluster, question = _get(questions, _field(substitute, "target_id", where), f"{where}: key 'target_id'")
        if question is None:
            continue
        share = _share_of_true(_get(labels, name, f"{path}: key 'substitute_labels'"), where)
        positive = share > ACCEPTABLE
        items.append(
            {
                "item_id": name,
                "question": question,
                "candidate": _field(substitute, "substitute", where).strip(),
                "positive": positive,
                "cluster": cluster,
                "distance": UNKNOWN if positive else "near" if share > 0 else "far",
            }
        )
    return item_table(items, str(path))


def read_lambada(path: Path, seed: int) -> pd.DataFrame:
    """Return the items of a LAMBADA file: is the candidate the passage's last word?

    The file is plain text with one passage per line, or .jsonl or .parquet with the column ``text``. Each passage gives
    up to three items: its last word; a word of the passage that ends another passage (near), if there is one; and the
    last word of another passage that is not in the passage (far).

    Raises:
        InputError: a passage has fewer than two words, or no other passage gives a wrong word.

    Source: Paperno et al. 2016 (arXiv 1606.06031).
    """
    passages = _passages(path)
    split = [passage.rsplit(maxsplit=1) for passage in passages]
    short = next((place for place, parts in enumerate(split) if len(parts) < 2), None)
    if short is not None:
        raise InputError(f"{path}, passage {short + 1}: got {passages[short]!r}; allowed: at least two words.")
    ring = _Ring({word for _, word in split}, seed)
    items: list[dict[str, object]] = []
    for question, word in split:
        name = hashlib.sha256(question.encode()).hexdigest()[:16]
        own = {_normalized(part) for part in question.split()}
        excluded = {_normalized(word)}
        wrong = {
            "near": next((other for other in ring.among(own, question) if _normalized(other) not in excluded), None),
            "far": ring.first(question, own | excluded),
        }
        items.append(_item(name, question, word, UNKNOWN))
        items += [_item(name, question, other, distance) for distance, other in wrong.items() if other]
    return item_table(items, str(path))


def read_triviaqa(path: Path, seed: int) -> pd.DataFrame:
    """Return the items of a TriviaQA file: is the candidate the answer?

    The file is the authors' .json (``Data`` with ``Question, QuestionId, Answer``) or .jsonl with ``question,
    question_id, answer``. The right candidate is ``Value``; the wrong one (far) is the answer to another question that
    is none of the aliases, compared without case, articles and punctuation. Repeated questions are read once.

    Raises:
        InputError: the file has another format, or no other question gives a wrong answer.

    Source: Joshi et al. 2017 (arXiv 1705.03551).
    """
    answered: dict[str, Answered] = {}
    for entry in _trivia(path):
        answered.setdefault(entry.question.casefold(), entry)
    ring = _Ring({entry.answer for entry in answered.values()}, seed)
    items: list[dict[str, object]] = []
    for entry in answered.values():
        wrong = ring.first(entry.question, entry.excluded)
        items.append(_item(entry.id, entry.question, entry.answer, UNKNOWN))
        items += [_item(entry.id, entry.question, wrong, "far")] if wrong else []
    return item_table(items, str(path))


READERS: Mapping[str, Reader] = {
    "items": read_item_table,
    "pairs": read_pairs,
    "swords": read_swords,
    "lambada": read_lambada,
    "triviaqa": read_triviaqa,
}


class _Ring:
    """Answers in a seeded order; each question starts at its own seeded place."""

    def __init__(self, answers: Collection[str], seed: int) -> None:
        self.seed = seed
        self.order = sorted(answers, key=lambda answer: (seeded_hash(seed, "answer", answer), answer))
        self.by_form: dict[str, list[str]] = {}
        for answer in self.order:
            self.by_form.setdefault(_normalized(answer), []).append(answer)

    def first(self, question: str, excluded: Collection[str]) -> str | None:
        """Return the first answer, from the question's place on, whose normalized form is not excluded."""
        start = seeded_hash(self.seed, "question", question) % len(self.order)
        turned = (self.order[(start + i) % len(self.order)] for i in range(len(self.order)))
        return next((answer for answer in turned if _normalized(answer) not in excluded), None)

    def among(self, forms: Collection[str], question: str) -> list[str]:
        """Return the answers with these normalized forms, in a seeded order that depends on the question."""
        answers = [answer for form in forms for answer in self.by_form.get(form, [])]
        return sorted(answers, key=lambda answer: (seeded_hash(self.seed, "near", question, answer), answer))


def _item(name: str, question: str, candidate: str, distance: str) -> dict[str, object]:
    return {
        "item_id": f"{name}/{candidate}",
        "question": question,
        "candidate": candidate,
        "positive": distance == UNKNOWN,
        "cluster": name,
        "distance": distance,
    }


def _normalized(text: str) -> str:
    """Return a text without case, articles, punctuation and redundant spaces, to compare answers."""
    bare = "".join(" " if mark in string.punctuation + "‘’´`" else mark for mark in text.casefold())
    return " ".join(_ARTICLES.sub(" ", bare).split()) or text.casefold()


def _passages(path: Path) -> list[str]:
    """Return the distinct passages of a file, in order."""
    if path.suffix.lower() in (".jsonl", ".parquet"):
        texts = [row["text"] for row in read_records(path, ["text"])]
    elif path.suffix.lower() == ".txt":
        texts = read_utf8(path).split("\n")
    else:
        raise InputError(f"{path}: got the suffix {path.suffix!r}; allowed: .txt, .jsonl, .parquet.")
    passages = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if not passages:
        raise InputError(f"{path}: got no passage; allowed: at least two.")
    return passages


def _trivia(path: Path) -> Iterator[Answered]:
    if path.suffix.lower() == ".jsonl":
        lines = [line for line in read_utf8(path).split("\n") if line.strip()]
        entries = [parse_json(line, f"{path}, question {i}", "JSON") for i, line in enumerate(lines, 1)]
        keys = ("question", "question_id", "answer", "value", "aliases")
    else:
        entries = read_object(path, "an object").get("Data", [])
        keys = ("Question", "QuestionId", "Answer", "Value", "Aliases")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: got no list 'Data' of questions; allowed: TriviaQA's .json, or .jsonl.")
    question, name, answer, value, aliases = keys
    for i, entry in enumerate(entries, 1):
        where = f"{path}, question {i}"
        content = _mapping(entry, answer, where)
        right = _field(content, value, f"{where}: key {answer!r}")
        others = content.get(aliases, [])
        if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
            raise InputError(f"{where}: key {aliases!r}: got {_shown(others)}; allowed: a list of texts.")
        excluded = frozenset(_normalized(text) for text in (right, *others))
        yield Answered(_field(entry, name, where), _field(entry, question, where), right, excluded)


def _marked(contexts: Mapping[str, Any], target: Any, where: str) -> tuple[str, str | None]:
    """Return the id of a target's context, and the context with the target marked; None if it already has a mark."""
    name = _field(target, "context_id", where)
    text = _field(_get(contexts, name, f"{where}: key 'context_id'"), "context", where)
    word, start = _field(target, "target", where), target.get("offset")
    if not isinstance(start, int) or text[start : start + len(word)].casefold() != word.casefold():
        raise InputError(f"{where}: key 'offset': got {start!r}; allowed: the place of {word!r} in {_shown(text)}.")
    if any(mark in text for mark in MARKS):
        return name, None
    end = start + len(word)
    return name, " ".join(f"{text[:start]}{MARKS[0]}{text[start:end]}{MARKS[1]}{text[end:]}".split())


def _share_of_true(labels: Any, where: str) -> float:
    if not isinstance(labels, list) or not labels:
        raise InputError(f"{where}: got the labels {_shown(labels)}; allowed: a list of at least one label.")
    for label in labels:
        if label not in SWORDS_LABELS:
            raise one_of(f"{where}: label", label, SWORDS_LABELS)
    return sum(label in TRUE_LABELS for label in labels) / len(labels)


def _mapping(content: Any, key: str, where: str) -> Mapping[str, Any]:
    value = content.get(key) if isinstance(content, dict) else content
    if not isinstance(value, dict) or not value:
        raise InputError(f"{where}: key {key!r}: got {_shown(value)}; allowed: an object that is not empty.")
    return value


def _field(content: Any, key: str, where: str) -> str:
    value = content.get(key) if isinstance(content, dict) else content
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: key {key!r}: got {_shown(value)}; allowed: text.")
    return value


def _get(content: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in content:
        raise InputError(f"{where}: got {key!r}, which is not in the file; allowed: an id in the file.")
    return content[key]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
