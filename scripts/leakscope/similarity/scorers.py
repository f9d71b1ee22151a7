"""Similarity of a text to a concept: SentenceBERT, BERTScore, literal repetition or a classifier's label.

A scorer is a function from distinct (concept, text) pairs to similarities, registered under its ``kind`` in the
configuration. It embeds every distinct string once. ``languages`` holds the languages of each pair's concept, separated
by spaces where prompt sets of several languages share the concept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from leakscope.errors import InputError, one_of
from leakscope.languages.mentions import contains_concept
from leakscope.languages.of_prompts import DEFAULT
from leakscope.similarity.bertscore import f1_scores
from leakscope.similarity.concepts import is_empty
from leakscope.similarity.encoders import Embedder, label_names
from leakscope.typed.wording import show

Scorer = Callable[[Sequence[str], Sequence[str], Mapping[str, Any], Embedder, Sequence[str]], np.ndarray]
_SCORERS: dict[str, Scorer] = {}


def scorer(kind: str) -> Callable[[Scorer], Scorer]:
    """Register a function as the scorer of ``kind``.

    Raises:
        ValueError: the kind is registered already.
    """

    def register(function: Scorer) -> Scorer:
        if kind in _SCORERS:
            raise ValueError(f"scorer kind {kind!r} is registered twice")
        _SCORERS[kind] = function
        return function

    return register


def scorer_kinds() -> list[str]:
    """Return the registered kinds of scorers, sorted."""
    return sorted(_SCORERS)


def score_pairs(
    concepts: Sequence[str],
    texts: Sequence[str],
    settings: Mapping[str, Any],
    embedder: Embedder | None = None,
    languages: Sequence[str] | None = None,
) -> np.ndarray:
    """Return the similarity of ``concepts[i]`` and ``texts[i]``, (n,), float64.

    A text that is empty or only white space is not scored: its similarity is NaN.

    Args:
        concepts: (n,), as written in the prompts.
        texts: (n,), may be empty strings.
        settings: a scorer's entry in the configuration; ``kind`` selects the function.
        embedder: reads, computes and counts embeddings; None: one without a store.
        languages: (n,), as in ``list_pairs``; None: English.
    """
    if settings["kind"] not in _SCORERS:
        raise one_of("scorers: kind", settings["kind"], _SCORERS)
    similarity = np.full(len(concepts), np.nan)
    filled = [row for row, text in enumerate(texts) if not is_empty(text)]
    if filled:
        left, right = [concepts[row] for row in filled], [texts[row] for row in filled]
        spoken = [DEFAULT if languages is None else languages[row] for row in filled]
        similarity[filled] = _SCORERS[settings["kind"]](left, right, settings, embedder or Embedder(), spoken)
    return similarity


@scorer("sentence_transformers")
def cosine_of_sentence_embeddings(
    concepts: Sequence[str],
    texts: Sequence[str],
    settings: Mapping[str, Any],
    embedder: Embedder,
    languages: Sequence[str],
) -> np.ndarray:
    """Return the cosines, −1 to 1, of SentenceBERT (Reimers & Gurevych 2019) or static embeddings.

    With static embeddings, a text without any known token has cosine 0.
    """
    strings = sorted({*concepts, *texts})
    embedded = embedder.sentences(strings, settings)
    vectors = np.stack([embedded[string] for string in strings]).astype(np.float64)
    rows = {string: row for row, string in enumerate(strings)}
    left, right = vectors[[rows[concept] for concept in concepts]], vectors[[rows[text] for text in texts]]
    cosines: np.ndarray = np.einsum("nd,nd->n", left, right)
    return cosines


@scorer("bert_score")
def bertscore_f1(
    concepts: Sequence[str],
    texts: Sequence[str],
    settings: Mapping[str, Any],
    embedder: Embedder,
    languages: Sequence[str],
) -> np.ndarray:
    """Return BERTScore F1 (Zhang et al. 2020), concept as candidate and text as reference, no idf, no rescaling.

    A text that has only characters dropped by the tokenizer has similarity 0, as in the package bert-score.
    """
    return f1_scores(concepts, texts, embedder.tokens(sorted({*concepts, *texts}), settings))


@scorer("lexical")
def literal_repetition(
    concepts: Sequence[str],
    texts: Sequence[str],
    settings: Mapping[str, Any],
    embedder: Embedder,
    languages: Sequence[str],
) -> np.ndarray:
    """Return 1 where the text contains the concept in any of its inflected forms (``languages.mentions``), else 0."""
    found = np.zeros(len(texts))
    for row in sorted(range(len(texts)), key=texts.__getitem__):  # sorted: the words of a text are looked up once
        found[row] = any(contains_concept(texts[row], concepts[row], one) for one in languages[row].split())
    return found


@scorer("classifier")
def probability_of_a_label(
    concepts: Sequence[str],
    texts: Sequence[str],
    settings: Mapping[str, Any],
    embedder: Embedder,
    languages: Sequence[str],
) -> np.ndarray:
    """Return the classifier's probability, 0 to 1, of the concept's label given the text.

    Raises:
        InputError: a concept has no label, or one that the classifier does not have.
    """
    place = places_of_labels(concepts, label_names(settings), settings)
    probabilities = embedder.labels(sorted(set(texts)), settings)
    return np.array([float(probabilities[text][place[concept]]) for concept, text in zip(concepts, texts, strict=True)])


def places_of_labels(concepts: Sequence[str], names: Sequence[str], settings: Mapping[str, Any]) -> dict[str, int]:
    """Return concept → index of its label: the label in ``settings["labels"]``, else the label of the same name.

    Args:
        concepts: may repeat.
        names: names of the classifier's labels.
        settings: ``labels``, concept → label, and ``model``, for messages.

    Raises:
        InputError: a concept has no label, or one that the classifier does not have.
    """
    where, given = f"scorers: model {settings['model']!r}", settings["labels"]
    for label in given.values():
        if label not in names:
            raise one_of(f"{where}: labels", label, names)
    same = {name.casefold(): place for place, name in enumerate(names)}
    places = {
        concept: names.index(given[concept]) if concept in given else same.get(concept.casefold())
        for concept in dict.fromkeys(concepts)
    }
    without = [concept for concept, place in places.items() if place is None]
    if without:
        more = f" and {len(without) - 1:,} more" if len(without) > 1 else ""
        raise InputError(
            f"{where}: got the concept {show(without[0])}{more} without a label; allowed: concepts that `labels` maps "
            f"to one of {', '.join(names)}, or whose own name is one of these."
        )
    return {concept: place for concept, place in places.items() if place is not None}
