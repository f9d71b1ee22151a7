"""Generates texts with a model behind a server; the tables are like those of a local model."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from leakscope.files.normal_form import composed
from leakscope.languages.of_prompts import languages_of
from leakscope.languages.sentences import first_sentence
from leakscope.models.completion import texts_of_each
from leakscope.models.endings import cut_sentence
from leakscope.models.prompts.placing import SYSTEM, USER, Placed, conversation, placed_prompts, plain_text
from leakscope.models.prompts.prompting import Completed
from leakscope.models.thinking.measured import thought_columns
from leakscope.storage.store import Key
from leakscope.web.conversations import Conversation, as_conversation
from leakscope.web.spending import Prices, counts, spent
from leakscope.web.writing import UNFINISHED, WRITTEN, Question, ServedTexts, Writer

logger = logging.getLogger(__name__)

EMPTY = "empty"
MODELS, VERSIONS = "model", "system_fingerprint"


def write_texts(
    writer: Writer, prompts: Mapping[str, pd.DataFrame], name: str, settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, Completed]:
    """Return prompt set → ``model, prompt_set, prompt_id, sample, text`` in prompt order, with a summary.

    For a model that thinks first, the tables also have ``thought`` and whether it ``finished``.

    Texts are stripped and cut as those of local models; a text that the server refused is empty. The summary has the
    number of texts, newly requested (``computed``) and stored (``reused``); their ``statuses``; the models and versions
    that the server reported (``answered_by``); and the ``requests``, ``tokens`` and ``cost`` of these texts, including
    earlier runs. A text in several sets counts for the first set.

    Args:
        writer: of the model.
        prompts: prompt set → its table.
        name: the model's name in the study.
        settings: prompt set → its generation settings, which may differ only in the numbers of texts; for a model that
            thinks first, ``measure`` chooses the measured text.

    Raises:
        InputError: as ``Writer.write``.
    """
    rows = {name_of_set: _rows(table, settings[name_of_set], writer) for name_of_set, table in prompts.items()}
    numbers: dict[Question | Conversation, int] = {}
    for questions, each in rows.values():
        for question, n in zip(questions, each, strict=True):
            numbers[question] = max(n, numbers.get(question, 0))
    texts = writer.write(numbers)
    completed, counted = {}, set[Key]()
    for name_of_set, (questions, each) in rows.items():
        keys: list[Key] = [(*question, n) for question, k in zip(questions, each, strict=True) for n in range(k)]
        own = set(keys) - counted
        counted |= own
        cut = _cutter(settings[name_of_set]["stop"], languages_of(prompts[name_of_set]).texts, name)
        table = _table(prompts[name_of_set], each, keys, texts, cut, settings[name_of_set].get("measure"))
        summary = _summary(texts, keys, own, writer.budget.prices)
        _warn_of_empty(name, name_of_set, summary["statuses"])
        completed[name_of_set] = Completed(table.assign(model=name)[["model", *table.columns]], summary)
    return completed


def question_of(prompt: str | Placed, settings: Mapping[str, Any], api: str) -> Question | Conversation:
    """Return the request for a prompt: a chat, or one plain text for the ``completions`` API.

    The chat has one user turn, unless the prompt's clause is in another place.
    """
    placed = Placed(prompt) if isinstance(prompt, str) else prompt
    system, how = settings["system"] or "", (settings["template"], settings["system"])
    if api == "completions":
        return Question("", plain_text(placed, *how))
    turns = conversation(placed, *how)
    if placed.place == SYSTEM:
        # On a server without a system role the clause would end up in another place.
        return as_conversation("", placed.rest, turns)
    turns = turns[1:] if system else turns
    if placed.place == USER:
        return Question(system, turns[-1]["content"])
    return as_conversation(system, placed.rest, turns)


def _rows(
    prompts: pd.DataFrame, settings: Mapping[str, Any], writer: Writer
) -> tuple[list[Question | Conversation], list[int]]:
    """Return each prompt's request, and the number of texts wanted."""
    questions = [question_of(placed, settings, writer.manner.api) for placed in placed_prompts(prompts)]
    return questions, texts_of_each(prompts, settings)


def _cutter(stop: str, language: str, model: str) -> Callable[[str], str]:
    if stop == "sentence":
        return cut_sentence
    sentence = first_sentence(stop, language, model)
    return sentence.cut if sentence else str


def _table(
    prompts: pd.DataFrame,
    numbers: list[int],
    keys: list[Key],
    texts: ServedTexts,
    cut: Callable[[str], str],
    measure: str | None,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "prompt_set": prompts["prompt_set"].repeat(numbers).to_numpy(),
            "prompt_id": prompts["prompt_id"].repeat(numbers).to_numpy(),
            "sample": np.array([key[-1] for key in keys], dtype=np.int64),
            **_texts([texts.records[key] for key in keys], cut, measure),
        }
    )


def _texts(records: list[dict[str, Any]], cut: Callable[[str], str], measure: str | None) -> dict[str, list[Any]]:
    """Return the columns of texts; thoughts are not cut."""
    texts = [cut(composed(one["text"])).strip() for one in records]
    if measure is None:
        return {"text": texts}
    told = [
        {"thought": composed(one["thought"]), "text": text, "finished": one["status"] != UNFINISHED}
        for one, text in zip(records, texts, strict=True)
    ]
    return thought_columns(told, measure)


def _summary(texts: ServedTexts, keys: list[Key], own: set[Key], prices: Prices | None) -> dict[str, Any]:
    records = [texts.records[key] for key in keys]
    n_fresh = len(own & texts.fresh)
    statuses = Counter(EMPTY if is_empty(record) else record["status"] for record in records)
    return {
        **{"total": len(keys), "computed": n_fresh, "reused": len(keys) - n_fresh, "store": texts.store},
        **({"unfinished": statuses[UNFINISHED]} if any("thought" in record for record in records) else {}),
        "statuses": dict(sorted(statuses.items())),
        "answered_by": {key: counts(record[key] for record in records) for key in (MODELS, VERSIONS)},
        **spent([texts.records[key]["request"] for key in own if "request" in texts.records[key]], prices),
    }


def is_empty(record: Mapping[str, Any]) -> bool:
    """Return whether a server returned an empty text without a reason."""
    return record["status"] == WRITTEN and not record["text"].strip()


def _warn_of_empty(name: str, prompt_set: str, statuses: Mapping[str, int]) -> None:
    empty = {status: n for status, n in statuses.items() if status != WRITTEN}
    if empty:
        shown = ", ".join(f"{status} {n}" for status, n in empty.items())
        logger.warning("%s, %s: %d texts are empty (%s)", name, prompt_set, sum(empty.values()), shown)
