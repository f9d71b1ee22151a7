"""How similar a text is to a concept: SentenceBERT, BERTScore, literal repetition.

A scorer is a function from distinct (concept, text) pairs to similarities, registered under the ``kind`` that the
configuration names. Each embeds every distinct string once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from leakscope.concepts import contains_concept
from leakscope.errors import InputError, one_of
from leakscope.fetch import fetch_folder

PACKAGE_PREFIX = "package:"

Scorer = Callable[[Sequence[str], Sequence[str], Mapping[str, Any]], np.ndarray]
_SCORERS: dict[str, Scorer] = {}


def scorer(kind: str) -> Callable[[Scorer], Scorer]:
    """Register a scorer under ``kind``.

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
    """Return the registered kinds, sorted."""
    return sorted(_SCORERS)


def score_pairs(concepts: Sequence[str], texts: Sequence[str], settings: Mapping[str, Any]) -> np.ndarray:
    """Return the similarity of ``concepts[i]`` and ``texts[i]``, shape (n,), float64; empty for no pairs.

    Args:
        concepts: (n,), as written in the prompts.
        texts: (n,), may be empty strings.
        settings: a scorer's entry of the configuration; ``kind`` chooses the function.
    """
    if settings["kind"] not in _SCORERS:
        raise one_of("scorers: kind", settings["kind"], _SCORERS)
    if not concepts:
        return np.empty(0)
    return _SCORERS[settings["kind"]](concepts, texts, settings)


@scorer("sentence_transformers")
def cosine_of_sentence_embeddings(
    concepts: Sequence[str], texts: Sequence[str], settings: Mapping[str, Any]
) -> np.ndarray:
    """Return cosines, −1 to 1, of SentenceBERT embeddings (Reimers & Gurevych 2019).

    An empty text has whatever embedding the encoder gives it.
    """
    from sentence_transformers import SentenceTransformer

    # On the CPU: the same numbers everywhere, and distinct texts are few enough.
    with _loading(settings["model"]):
        encoder = SentenceTransformer(resolve_encoder(settings["model"], settings.get("revision")), device="cpu")
    strings = sorted({*concepts, *texts})
    rows = {string: row for row, string in enumerate(strings)}
    embeddings = encoder.encode(
        strings, batch_size=settings["batch_size"], normalize_embeddings=True, show_progress_bar=False
    )
    left = np.asarray(embeddings, dtype=np.float64)[[rows[concept] for concept in concepts]]
    right = np.asarray(embeddings, dtype=np.float64)[[rows[text] for text in texts]]
    cosines: np.ndarray = np.einsum("nd,nd->n", left, right)
    return cosines


@scorer("bert_score")
def bertscore_f1(concepts: Sequence[str], texts: Sequence[str], settings: Mapping[str, Any]) -> np.ndarray:
    """Return BERTScore F1 (Zhang et al. 2020), concept as candidate and text as reference, no idf, no rescaling.

    A text without any word has similarity 0: bert-score sets it so, but from transformers 5 on its own path for empty
    strings raises, so they are kept away from it.
    """
    result = np.zeros(len(concepts))
    filled = [i for i, text in enumerate(texts) if text.strip()]
    if not filled:
        return result
    from leakscope.bertscore import f1_scores, load_encoder

    with _loading(settings["model"]):
        encoder = load_encoder(resolve_encoder(settings["model"], settings.get("revision")), settings["num_layers"])
    result[filled] = f1_scores(
        [concepts[i] for i in filled], [texts[i] for i in filled], encoder, settings["batch_size"]
    )
    return result


@scorer("lexical")
def literal_repetition(concepts: Sequence[str], texts: Sequence[str], settings: Mapping[str, Any]) -> np.ndarray:
    """Return 1 where the text contains the concept (case-folded, whole words), else 0."""
    return np.array([float(contains_concept(text, concept)) for concept, text in zip(concepts, texts, strict=True)])


def resolve_encoder(model: str, revision: str | None = None) -> str:
    """Return the folder of a scorer's ``model``.

    ``package:<module>/<folder>`` is that folder of an installed package, the path of a folder is itself, and anything
    else is the id of a hub model, fetched if it is not in the cache.

    Raises:
        InputError: the package is not installed or has no such folder, or the hub does not give the model.
    """
    if Path(model).is_dir():
        return model
    if not model.startswith(PACKAGE_PREFIX):
        return str(fetch_folder(model, revision or "main"))
    module, _, inside = model.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"scorers: model {model!r}: the package {module!r} is not installed.")
    folder = Path(spec.origin).parent / inside
    if not folder.is_dir():
        raise InputError(f"scorers: model {model!r}: the package {module!r} has no folder {inside!r}.")
    return str(folder)


@contextmanager
def _loading(model: str) -> Iterator[None]:
    """Turn what the libraries raise on a folder that is no encoder, or has too few layers, into one line."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError, AssertionError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"scorers: model {model!r}: cannot be loaded as an encoder: {reason[0]}") from error
