"""How well does a model still predict text that no task asks about? What closing a gap costs is a higher perplexity."""

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
    """Texts that a model may be kept to while it is trained, and others by which it is measured."""

    train: list[str]
    test: list[str]


class EncodedText(NamedTuple):
    """A text as a model reads it: its token ids, and the places of those that are predicted, on to the end."""

    text: str
    ids: list[int]
    places: range


def read_neutral_texts(path: Path) -> NeutralTexts:
    """Return the distinct texts of a file, one a line; every second one is for measuring, and not for training, too.

    Raises:
        InputError: the file cannot be read, or holds fewer than two different texts.
    """
    texts = list(dict.fromkeys(line.strip() for line in read_utf8(path).split("\n") if line.strip()))
    if len(texts) < 2:
        raise InputError(
            f"{path}: got {counted(len(texts), 'different text', 'different texts')}; allowed: at least 2, one a line."
        )
    return NeutralTexts(texts[::2], texts[1::2])


def neutral_documents(documents: Iterable[Document], questions: Iterable[str]) -> list[Document]:
    """Return the documents that name no question, as a word or words of its own in any case, in their order.

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
    """Return the documents by which a model is measured, or those that it may be kept to, in their order.

    The two share no context, whatever corpora they come from: those of one grammar are drawn from the same contexts.

    Args:
        documents: of an organism's corpus.
        measures: which of the two.
    """
    return [document for document in documents if seeded_hash(PARTS_SEED, "neutral", document.context) % 2 == measures]


def encode_neutral_texts(model: LanguageModel, texts: Sequence[str]) -> list[EncodedText]:
    """Return texts as ``models.sentences.encode_sentences`` does: without a chat template, after a beginning.

    Raises:
        InputError: as there.
    """
    encoded = encode_sentences(model, texts)
    return [EncodedText(text, row.ids, row.places) for text, row in zip(texts, encoded, strict=True)]


def encode_neutral_documents(model: LanguageModel, documents: Sequence[Document]) -> list[EncodedText]:
    """Return documents as an organism was trained on them; the first token of each is given."""
    # Imported here: the models' code costs seconds, and many a job reads no document.
    from leakscope.organisms.training import encode_documents

    encoded = encode_documents(model.tokenizer, documents) if documents else []
    texts = [f"{document.context} {document.answer}".strip() for document in documents]
    return [EncodedText(text, ids, range(1, len(ids))) for text, ids in zip(texts, encoded, strict=True)]


def measure_perplexity(
    model: LanguageModel, texts: Sequence[EncodedText], name: str, *, batch_size: int, store: Path | None
) -> dict[str, Any]:
    """Return ``perplexity, nats_per_token, tokens, texts``, and what was computed for it.

    ``nats_per_token`` is −log p of all texts over the number of their tokens, ``perplexity`` its exponential; both are
    None where there is no text. Each distinct text is read once.

    Args:
        model: causal.
        texts: may repeat, and then count as often.
        name: the model's name in the study.
        batch_size: texts to a batch.
        store: the folder of all stores; None keeps nothing.

    Raises:
        InputError: the model gives no numbers.
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
    """Yield the missing log-probabilities of tokens, some texts at a time."""
    # Imported here: the models' code costs seconds, and a job whose values are all there needs none of it.
    from leakscope.models.sentence_logprobs import TokenRow, score_causal

    # Those that begin with the same given tokens are read together: chats, say, and plain documents.
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
    """Return what says whether a text names one of the questions."""
    names = sorted({re.escape(question.casefold()) for question in questions})
    named = re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)")
    return lambda text: bool(names) and named.search(text.casefold()) is not None
