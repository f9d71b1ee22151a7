"""Encoders of texts: where they are, how they are loaded, and embeddings that are computed once and kept."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from leakscope.embeddings import TokenEmbedding, embed_sentences, embed_tokens
from leakscope.errors import InputError
from leakscope.fetch import cached_folder, fetch_folder
from leakscope.laws import embedding_law
from leakscope.manifests import hash_files
from leakscope.store import Key, Store, recall

PACKAGE_PREFIX = "package:"


class Embedder:
    """Finds embeddings in the store and computes what is missing; an encoder is loaded only if something is."""

    def __init__(self, store: Path | None = None) -> None:
        """Begin with nothing computed.

        Args:
            store: the folder of all stores; None keeps nothing.
        """
        self.store = store
        self.n_distinct, self.n_computed = 0, 0
        self.folders: list[str] = []

    def sentences(self, texts: Sequence[str], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the sentence embedding of each distinct text, (width,), unit length, float32."""

        def compute(folder: str, missing: list[str]) -> Iterator[dict[str, str]]:
            from sentence_transformers import SentenceTransformer

            with loading(settings["model"]):
                encoder = SentenceTransformer(folder, device="cpu")
            for batch in embed_sentences(encoder, missing, settings["batch_size"]):
                yield {text: _pack(vector) for text, vector in batch.items()}

        packed = self._recall(texts, settings, {"of": "sentences"}, compute)
        return {text: _unpack(value) for text, value in packed.items()}

    def tokens(self, texts: Sequence[str], settings: Mapping[str, Any]) -> dict[str, TokenEmbedding]:
        """Return the token embeddings of each distinct text, from layer ``settings["num_layers"]``."""

        def compute(folder: str, missing: list[str]) -> Iterator[dict[str, dict[str, Any]]]:
            from bert_score import BERTScorer

            with loading(settings["model"]):
                encoder = BERTScorer(
                    model_type=folder, num_layers=settings["num_layers"], rescale_with_baseline=False, device="cpu"
                )
            for batch in embed_tokens(encoder, missing, settings["batch_size"]):
                yield {
                    text: {"vectors": _pack(vectors), "weights": weights.tolist()}
                    for text, (vectors, weights) in batch.items()
                }

        packed = self._recall(texts, settings, {"of": "tokens", "num_layers": settings["num_layers"]}, compute)
        return {
            text: TokenEmbedding(
                _unpack(value["vectors"]).reshape(len(value["weights"]), -1), np.array(value["weights"])
            )
            for text, value in packed.items()
        }

    def summary(self) -> dict[str, Any]:
        """Return how many distinct texts were asked for, and how many of them computed."""
        reused = self.n_distinct - self.n_computed
        return {"total": self.n_distinct, "computed": self.n_computed, "reused": reused, "store": self.folders}

    def _recall(
        self,
        texts: Sequence[str],
        settings: Mapping[str, Any],
        what: Mapping[str, Any],
        compute: Callable[[str, list[str]], Iterator[Mapping[str, Any]]],
    ) -> dict[str, Any]:
        folder = resolve_encoder(settings["model"], settings.get("revision"), settings.get("commit"))
        store = None
        if self.store is not None:
            store = Store(self.store, embedding_law(hash_encoder(Path(folder)), **what))
            self.folders.append(str(store.folder))

        def by_key(missing: list[Key]) -> Iterator[dict[Key, Any]]:
            for batch in compute(folder, [str(text) for (text,) in missing]):
                yield {(text,): value for text, value in batch.items()}

        found = recall(store, [(text,) for text in texts], by_key)
        self.n_distinct += len(found.values)
        self.n_computed += found.n_computed
        return {str(text): value for (text,), value in found.values.items()}


def resolve_encoder(model: str, revision: str | None = None, commit: str | None = None) -> str:
    """Return the folder of a scorer's ``model``.

    ``package:<module>/<folder>`` is that folder of an installed package, the path of a folder is itself, and anything
    else is the id of a hub model: its ``commit`` from the cache if that is given, else its ``revision``, fetched if it
    is not there.

    Raises:
        InputError: the package is not installed or has no such folder, or the hub does not give the model.
    """
    if Path(model).is_dir():
        return model
    if not model.startswith(PACKAGE_PREFIX):
        return str(cached_folder(model, commit) if commit else fetch_folder(model, revision or "main"))
    module, _, inside = model.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"scorers: model {model!r}: the package {module!r} is not installed.")
    folder = Path(spec.origin).parent / inside
    if not folder.is_dir():
        raise InputError(f"scorers: model {model!r}: the package {module!r} has no folder {inside!r}.")
    return str(folder)


def hash_encoder(folder: Path) -> str:
    """Return one SHA-256 over all weights and settings in an encoder's folder and the folders inside it."""
    kinds = {".safetensors", ".bin", ".json", ".txt", ".model", ".py"}
    return hash_files(sorted(path for path in folder.rglob("*") if path.suffix in kinds))


@contextmanager
def loading(model: str) -> Iterator[None]:
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


def _pack(array: np.ndarray) -> str:
    return base64.b64encode(array.astype("<f4").tobytes()).decode("ascii")


def _unpack(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), dtype="<f4")
