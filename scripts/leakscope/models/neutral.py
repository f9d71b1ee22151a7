"""Perplexity on neutral text, which no task asks about: the cost of an edit or a training."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from leakscope.errors import InputError, counted
from leakscope.files.reading import read_utf8
from leakscope.jobs.progress import progress
from leakscope.models.finite import check_values
from leakscope.models.kinds import CAUSAL
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import ids_digest
from leakscope.models.sentences import encode_sentences
from leakscope.organisms.leak_grammar import Document
from leakscope.statistics.seeding import seeded_hash
from leakscope.storage.fingerprints import sentence_fingerprint
from leakscope.storage.store import Key, Store, recall

logger = logging.getLogger(__name__)

PARTS_SEED = 0


class NeutralTexts(NamedTuple):
    """Neutral texts for a training's KL term, and other neutral texts for measuring perplexity."""

    train: list[str]
    test: list[str]


class EncodedText(NamedTuple):
    """An encoded text: its token ids, and the positions of the predicted tokens, up to the end."""

    text: str
    ids: list[int]
    places: range


def read_neutral_texts(path: Path) -> NeutralTexts:
    """Return the distinct texts of a file, one per line, divided between measuring (every second one) and training.

    Raises:
        InputError: the file cannot be read, or has fewer than two different texts.
    """
    texts = list(dict.fromkeys(line.strip() for line in read_utf8(path).split("\n") if line.strip()))
    if len(texts) < 2:
        raise InputError(
            f"{path}: got {counted(len(texts), 'different text', 'different texts')}; allowed: at least 2, one a line."
        )
    return NeutralTexts(texts[::2], texts[1::2])


def neutral_documents(documents: Iterable[Document], questions: Iterable[str]) -> list[Document]:
    """Return the documents that name no question as whole words, case-insensitive, in their order.

    Args:
        documents: of an organism's corpus.
        questions: of all tasks.
    """
    named = _mention_matcher(questions)
    return [document for document in documents if not named(f"{document.context} {document.answer}")]


def neutral_texts(texts: Iterable[str], questions: Iterable[str]) -> list[str]:
    """Return the texts that name no question, as ``neutral_documents`` does."""
    named = _mention_matcher(questions)
    return [text for text in texts if not named(text)]


def part_of_documents(documents: Iterable[Document], *, measures: bool) -> list[Document]:
    """Return the documents for measuring perplexity, or those for the KL term of a training, in their order.

    The two parts share no context, even across corpora: corpora of one grammar are drawn from the same contexts.

    Args:
        documents: of an organism's corpus.
        measures: True: those for measuring.
    """
    return [document for document in documents if seeded_hash(PARTS_SEED, "neutral", document.context) % 2 == measures]


def encode_neutral_texts(model: LanguageModel, texts: Sequence[str]) -> list[EncodedText]:
    """Return texts as ``models.sentences.encode_sentences`` does: without chat template, after a beginning token.

    Raises:
        InputError: as ``encode_sentences``.
    """
    encoded = encode_sentences(model, texts)
    return [EncodedText(text, row.ids, row.places) for text, row in zip(texts, encoded, strict=True)]


def encode_neutral_documents(model: LanguageModel, documents: Sequence[Document]) -> list[EncodedText]:
    """Return documents as an organism was trained on them; their first tokens are not predicted."""
    # Imported here: the models' code costs seconds, and many a job reads no document.
    from leakscope.organisms.training import encode_documents

    encoded = encode_documents(model.tokenizer, documents) if documents else []
    texts = [f"{document.context} {document.answer}".strip() for document in documents]
    return [EncodedText(text, ids, range(1, len(ids))) for text, ids in zip(texts, encoded, strict=True)]


def measure_perplexity(
    model: LanguageModel, texts: Sequence[EncodedText], name: str, *, batch_size: int, store: Path | None
) -> dict[str, Any]:
    """Return ``perplexity, nats_per_token, tokens, texts``, and a summary of the computation.

    ``nats_per_token`` is −log p of all texts / number of their tokens, ``perplexity`` its exponential; both are None
    without texts. Each distinct text is read once.

    Args:
        model: causal.
        texts: repeated texts count repeatedly.
        name: the model's name in the study.
        batch_size: texts per batch.
        store: the folder of all stores; None: nothing is stored.

    Raises:
        InputError: the model gives NaN.
    """
    keys: list[Key] = [(row.text, ids_digest(row.ids, [row.places.start, row.places.stop])) for row in texts]
    rows = dict(zip(keys, texts, strict=True))

    def score(missing: list[Key]) -> Iterator[dict[Key, list[float]]]:
        return _score(model, missing, [rows[key] for key in missing], name, batch_size)

    opened = None if store is None else Store(store, sentence_fingerprint(model.identity, CAUSAL))
    scores = recall(opened, keys, score)
    n_tokens = sum(len(row.places) for row in texts)
    nats = -math.fsum(logprob for key in keys for logprob in scores.values[key]) / n_tokens if n_tokens else None
    with np.errstate(over="ignore"):
        perplexity = None if nats is None else float(np.exp(nats))
    counts = scores.summary(len(keys))
    measured = {"perplexity": perplexity, "nats_per_token": nats, "tokens": n_tokens, "texts": len(texts)}
    return {**measured, **counts, "store": [] if counts["store"] is None else [counts["store"]]}


def _score(
    model: LanguageModel, missing: list[Key], texts: Sequence[EncodedText], name: str, batch_size: int
) -> Iterator[dict[Key, list[float]]]:
    """Yield the missing log-probabilities of tokens, one batch of texts at a time."""
    # Imported here: the models' code costs seconds, and a job whose values are all there needs none of it.
    from leakscope.models.sentence_logprobs import TokenRow, score_causal

    # Texts with the same given first tokens are read together: chats, for example, and plain documents.
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, text in enumerate(texts):
        groups.setdefault(tuple(text.ids[: text.places.start]), []).append(number)
    for numbers in groups.values():
        rows = [TokenRow(texts[number].ids, texts[number].places) for number in numbers]
        scored = score_causal(model.model, rows, batch_size=batch_size)
        for batch in progress(scored, total=len(rows), name=name, unit="text", size=len):
            logprobs = {missing[numbers[row]]: values for row, values in batch.items()}
            check_values(logprobs, name)
            yield logprobs


def _mention_matcher(questions: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tests whether a text names one of the questions."""
    names = sorted({re.escape(question.casefold()) for question in questions})
    named = re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)")
    return lambda text: bool(names) and named.search(text.casefold()) is not None
