"""From prompts to texts that a model behind a server writes: tables like those of a model that runs here."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from leakscope.files.normal_form import composed
from leakscope.languages.of_prompts import languages_of
from leakscope.languages.sentences import first_sentence
from leakscope.models.completion import texts_of_each
from leakscope.models.endings import cut_sentence
from leakscope.models.prompting import Completed
from leakscope.models.rendering import PLACEHOLDER
from leakscope.storage.store import Key
from leakscope.web.spending import Prices
from leakscope.web.writing import WRITTEN, Question, ServedTexts, Writer

logger = logging.getLogger(__name__)

EMPTY = "empty"
MODELS, VERSIONS = "model", "system_fingerprint"


def write_texts(
    writer: Writer, prompts: Mapping[str, pd.DataFrame], name: str, settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, Completed]:
    """Return prompt set → ``model, prompt_set, prompt_id, sample, text`` in prompt order, and what was done for it.

    Texts are stripped and cut as those of models that run here; where the server refused one it is empty. A summary
    says how many texts there are, were asked for now (``computed``), or were there before (``reused``); their
    ``statuses``; which models and versions the server said it was (``answered_by``); and the ``requests``, ``tokens``
    and ``cost`` of these texts, whenever they were asked for. A text of several sets counts for the first of them.

    Args:
        writer: of the model.
        prompts: prompt set → its table.
        name: the model's name in the study.
        settings: prompt set → its generation settings, of which only the numbers of texts differ.

    Raises:
        InputError: as ``Writer.write``.
    """
    rows = {name_of_set: _rows(table, settings[name_of_set], writer) for name_of_set, table in prompts.items()}
    numbers: dict[Question, int] = {}
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
        table = _table(prompts[name_of_set], each, keys, texts, cut).assign(model=name)
        summary = _summary(texts, keys, own, writer.budget.prices)
        _warn_of_empty(name, name_of_set, summary["statuses"])
        completed[name_of_set] = Completed(table[["model", "prompt_set", "prompt_id", "sample", "text"]], summary)
    return completed


def question_of(prompt: str, settings: Mapping[str, Any], api: str) -> Question:
    """Return what a model is asked: a chat, or, as of models here without a chat template, one text."""
    user, system = settings["template"].replace(PLACEHOLDER, prompt), settings["system"] or ""
    if api == "completions":
        return Question("", f"{system}\n{user}" if system else user)
    return Question(system, user)


def _rows(prompts: pd.DataFrame, settings: Mapping[str, Any], writer: Writer) -> tuple[list[Question], list[int]]:
    """Return what each prompt asks, and how many texts of it are wanted."""
    questions = [question_of(prompt, settings, writer.manner.api) for prompt in prompts["prompt"]]
    return questions, texts_of_each(prompts, settings)


def _cutter(stop: str, language: str, model: str) -> Callable[[str], str]:
    if stop == "sentence":
        return cut_sentence
    sentence = first_sentence(stop, language, model)
    return sentence.cut if sentence else str


def _table(
    prompts: pd.DataFrame, numbers: list[int], keys: list[Key], texts: ServedTexts, cut: Callable[[str], str]
) -> pd.DataFrame:
    written = [str(texts.records[key]["text"]) for key in keys]
    return pd.DataFrame(
        {
            "prompt_set": prompts["prompt_set"].repeat(numbers).to_numpy(),
            "prompt_id": prompts["prompt_id"].repeat(numbers).to_numpy(),
            "sample": np.array([key[-1] for key in keys], dtype=np.int64),
            "text": [cut(composed(text)).strip() for text in written],
        }
    )


def _summary(texts: ServedTexts, keys: list[Key], own: set[Key], prices: Prices | None) -> dict[str, Any]:
    records = [texts.records[key] for key in keys]
    n_fresh = len(own & texts.fresh)
    statuses = Counter(EMPTY if is_empty(record) else record["status"] for record in records)
    return {
        **{"total": len(keys), "computed": n_fresh, "reused": len(keys) - n_fresh, "store": texts.store},
        "statuses": dict(sorted(statuses.items())),
        "answered_by": {key: _counts(record[key] for record in records) for key in (MODELS, VERSIONS)},
        **_spent([texts.records[key]["request"] for key in own if "request" in texts.records[key]], prices),
    }


def is_empty(record: Mapping[str, Any]) -> bool:
    """Say whether a server gave a text without a letter, and no reason."""
    return record["status"] == WRITTEN and not record["text"].strip()


def _spent(requests: list[list[int | None]], prices: Prices | None) -> dict[str, Any]:
    """Return what requests took; null where the server did not say it of each."""
    read, written = (_sum(request[place] for request in requests) for place in (0, 1))
    cost = None if prices is None or read is None or written is None else prices.cost(read, written)
    return {"requests": len(requests), "tokens": {"input": read, "output": written}, "cost": cost}


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = list(numbers)
    return None if None in known else sum(number for number in known if number is not None)


def _counts(said: Iterable[str | None]) -> dict[str, int]:
    """Return what a server said → of how many texts; of those of which it said nothing, nothing."""
    return dict(sorted(Counter(name for name in said if name is not None).items()))


def _warn_of_empty(name: str, prompt_set: str, statuses: Mapping[str, int]) -> None:
    empty = {status: n for status, n in statuses.items() if status != WRITTEN}
    if empty:
        shown = ", ".join(f"{status} {n}" for status, n in empty.items())
        logger.warning("%s, %s: %d texts are empty (%s)", name, prompt_set, sum(empty.values()), shown)
