"""Encoders of texts: resolving and loading them, and embeddings that are computed once and stored."""

from __future__ import annotations

import base64
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from leakscope.errors import InputError, counted
from leakscope.files.reading import read_json
from leakscope.models.finite import shown
from leakscope.models.sources.hub import cached_folder, fetch_folder
from leakscope.similarity.classifying import label_probabilities
from leakscope.similarity.embeddings import TokenEmbedding, embed_sentences, embed_tokens
from leakscope.similarity.static import open_static
from leakscope.storage.fingerprints import embedding_fingerprint, label_fingerprint
from leakscope.storage.manifests import hash_files
from leakscope.storage.store import Key, Store, recall
from leakscope.typed.wording import show

if TYPE_CHECKING:
    from bert_score import BERTScorer
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGE_PREFIX = "package:"
# Longest input of an encoder in tokens, if neither its tokenizer nor its configuration gives it.
DEFAULT_LENGTH = 512
# Names of that length in an encoder's settings, and the most special tokens that are added to a text.
LENGTH_KEYS = ("max_seq_length", "model_max_length", "max_position_embeddings", "n_positions")
SPECIAL_TOKENS = 8


class Embedder:
    """Reads embeddings from the store and computes the missing ones; loads an encoder only if some are missing."""

    def __init__(self, store: Path | None = None) -> None:
        """Create an embedder; nothing is loaded yet.

        Args:
            store: the folder of all stores; None stores nothing.
        """
        self.store = store
        self.n_distinct, self.n_computed = 0, 0
        self.folders: list[str] = []
        # Texts that an encoder truncates.
        self.cut: set[str] = set()

    def labels(self, texts: Sequence[str], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return text → the classifier's label probabilities, (labels,), float32, for each distinct text."""
        files = _files(settings)
        classifier = cache(partial(_open_classifier, files, settings["model"]))

        def compute(missing: list[str]) -> Iterator[dict[str, str]]:
            for batch in label_probabilities(*classifier(), missing, settings["batch_size"]):
                _check_numbers(batch, settings["model"])
                yield {text: _pack(vector) for text, vector in batch.items()}

        packed = self._recall(texts, label_fingerprint(files.sha256()), compute)
        if long := _perhaps_cut(files, texts):
            tokenizer = classifier()[1]
            self.cut.update(_longer(tokenizer, long, tokenizer.model_max_length))
        return {text: _unpack(value) for text, value in packed.items()}

    def sentences(self, texts: Sequence[str], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return text → its sentence embedding, (width,), unit length, float32, for each distinct text."""
        files = _files(settings)
        encoder = cache(partial(_open_sentences, files, settings["model"]))

        def compute(missing: list[str]) -> Iterator[dict[str, str]]:
            for batch in embed_sentences(encoder(), missing, settings["batch_size"]):
                _check_numbers(batch, settings["model"])
                yield {text: _pack(vector) for text, vector in batch.items()}

        packed = self._recall(texts, embedding_fingerprint(files.sha256(), of="sentences"), compute)
        if long := _perhaps_cut(files, texts):
            self.cut.update(_cut_sentences(encoder(), long))
        return {text: _unpack(value) for text, value in packed.items()}

    def tokens(self, texts: Sequence[str], settings: Mapping[str, Any]) -> dict[str, TokenEmbedding]:
        """Return text → its token embeddings at layer ``settings["num_layers"]``, for each distinct text."""
        files = _files(settings)
        encoder = cache(partial(_open_tokens, files, settings["model"], settings["num_layers"]))

        def compute(missing: list[str]) -> Iterator[dict[str, dict[str, Any]]]:
            for batch in embed_tokens(encoder(), missing, settings["batch_size"]):
                _check_numbers({text: vectors for text, (vectors, _) in batch.items()}, settings["model"])
                yield {
                    text: {"vectors": _pack(vectors), "weights": weights.tolist()}
                    for text, (vectors, weights) in batch.items()
                }

        fingerprint = embedding_fingerprint(files.sha256(), of="tokens", num_layers=settings["num_layers"])
        packed = self._recall(texts, fingerprint, compute)
        if long := _perhaps_cut(files, texts):
            tokenizer = encoder()._tokenizer
            self.cut.update(_longer(tokenizer, long, tokenizer.model_max_length))
        return {
            text: TokenEmbedding(
                _unpack(value["vectors"]).reshape(len(value["weights"]), -1), np.array(value["weights"])
            )
            for text, value in packed.items()
        }

    def summary(self) -> dict[str, Any]:
        """Return the numbers of distinct texts requested, computed, reused and truncated, and the store's folders."""
        counts = {"total": self.n_distinct, "computed": self.n_computed, "reused": self.n_distinct - self.n_computed}
        return {**counts, "cut": len(self.cut), "store": self.folders}

    def _recall(
        self,
        texts: Sequence[str],
        fingerprint: Mapping[str, Any],
        compute: Callable[[list[str]], Iterator[Mapping[str, Any]]],
    ) -> dict[str, Any]:
        store = None
        if self.store is not None:
            # Keyed by the encoder's files, not its name: a hub model may change under one name, a folder may move.
            store = Store(self.store, fingerprint)
            self.folders.append(str(store.folder))

        def by_key(missing: list[Key]) -> Iterator[dict[Key, Any]]:
            for batch in compute([str(text) for (text,) in missing]):
                yield {(text,): value for text, value in batch.items()}

        recalled = recall(store, [(text,) for text in texts], by_key)
        self.n_distinct += len(recalled.values)
        self.n_computed += recalled.n_computed
        return {str(text): value for (text,), value in recalled.values.items()}


def cut_warning(scorer: str, cut: Collection[str], total: int) -> str:
    """Return a warning with the number of texts that an encoder truncates and the beginning of the first.

    Args:
        scorer: its name.
        cut: the truncated texts, at least one.
        total: number of distinct texts and concepts that were embedded.
    """
    longer = counted(len(cut), "texts and concepts is longer", "texts and concepts are longer", of=total)
    return (
        f"scorer {scorer}: {longer} than its encoder reads; only the "
        f"beginning is scored (the first begins with {show(min(cut))}); leak_rates.csv counts their pairs in n_cut."
    )


def resolve_encoder(model: str, revision: str | None = None, commit: str | None = None) -> str:
    """Return the folder of a scorer's ``model``.

    ``model`` is the path of a folder, ``package:<module>/<folder>`` inside an installed package, or the id of a hub
    model. A hub model is read from the cache at ``commit`` if given, else at ``revision``, which is downloaded if
    needed.

    Raises:
        InputError: the package is not installed or has no such folder, or the hub model is not available.
    """
    if Path(model).is_dir():
        return model
    if not model.startswith(PACKAGE_PREFIX):
        return str(cached_folder(model, commit) if commit else fetch_folder(model, revision or "main"))
    folder, module, inside = _in_package(model)
    if not folder.is_dir():
        raise InputError(
            f"scorers: model {model!r}: the package {module!r} has no folder {inside!r}; correct the path in `model`."
        )
    return str(folder)


def resolve_file(path: str) -> Path:
    """Return the path of a scorer's file, given as a path or as ``package:<module>/<file>`` in an installed package.

    The package is not imported.

    Raises:
        InputError: the package is not installed or has no such file.
    """
    if not path.startswith(PACKAGE_PREFIX):
        return Path(path)
    file, module, inside = _in_package(path)
    if not file.is_file():
        raise InputError(f"scorers: {path!r}: the package {module!r} has no file {inside!r}; correct the path.")
    return file


def hash_encoder(folder: Path) -> str:
    """Return one SHA-256 over all weights and settings in an encoder's folder and its subfolders."""
    kinds = {".safetensors", ".bin", ".json", ".txt", ".model", ".py"}
    return hash_files(sorted(path for path in folder.rglob("*") if path.suffix in kinds))


def label_names(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of a classifier's labels, in the order of their probabilities.

    Raises:
        InputError: there is no such classifier, or its configuration has no valid ``id2label``.
    """
    path = Path(_files(settings).model) / "config.json"
    allowed = "settings of a classifier, with the names of its labels under `id2label`"
    known = read_json(path, allowed).get("id2label")
    if not isinstance(known, dict) or set(known) != set(map(str, range(len(known)))):
        raise InputError(f"{path}: got {show(known)} as id2label; allowed: {allowed}.")
    return [str(known[str(number)]) for number in range(len(known))]


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Turn the libraries' exceptions on an invalid encoder, or one with too few layers, into a one-line InputError."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError, AssertionError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"scorers: model {model!r}: cannot be loaded as an encoder: {reason[0]}; check `kind`, `model` and "
            "`num_layers` of the scorer."
        ) from error


def longest_input(tokenizer: PreTrainedTokenizerBase, encoder: PreTrainedModel) -> int:
    """Return the longest input of an encoder in tokens, special tokens included; longer texts are truncated.

    It is the tokenizer's length, limited by the size of the position embeddings. If the tokenizer gives no length
    (10³⁰ in transformers), it is the configuration's, or ``DEFAULT_LENGTH``.
    """
    import torch

    named = int(tokenizer.model_max_length)
    room: int | None = getattr(encoder.config.get_text_config(), "max_position_embeddings", None)
    tables = [
        module
        for name, module in encoder.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding)
    ]
    if room is not None and tables and tables[0].padding_idx is not None:
        room -= tables[0].padding_idx + 1  # as in RoBERTa: positions start after the padding position
    if named > sys.maxsize:
        return room or DEFAULT_LENGTH
    return min(named, room) if room and tables else named


class _Files(NamedTuple):
    """The files of an encoder: a folder or, for static embeddings, a file of weights and a tokenizer file."""

    model: str
    tokenizer: Path | None

    def sha256(self) -> str:
        """Return one hash of all files that determine the embeddings."""
        if self.tokenizer is None:
            return hash_encoder(Path(self.model))
        return hash_files([Path(self.model), self.tokenizer])


def _files(settings: Mapping[str, Any]) -> _Files:
    if settings.get("tokenizer") is not None:
        return _Files(str(resolve_file(settings["model"])), resolve_file(settings["tokenizer"]))
    return _Files(resolve_encoder(settings["model"], settings.get("revision"), settings.get("commit")), None)


def _in_package(path: str) -> tuple[Path, str, str]:
    """Return the path of ``package:<module>/<inside>``, the module and ``inside``; the module is not imported."""
    module, _, inside = path.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"scorers: model {path!r}: the package {module!r} is not installed; install it.")
    return Path(spec.origin).parent / inside, module, inside


def _open_sentences(files: _Files, model: str) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    from leakscope.models.checking import check_encoder

    if files.tokenizer is not None:
        return open_static(Path(files.model), files.tokenizer)
    folder = files.model
    with loading(model):
        check_encoder(Path(folder), model)
        encoder = SentenceTransformer(folder, device="cpu")
    _limit_sentences(encoder)
    return encoder


def _open_classifier(files: _Files, model: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a classifier and its tokenizer, set to truncate texts to the classifier's longest input."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from leakscope.models.checking import check_weights, quiet

    with loading(model), quiet():
        loaded, info = AutoModelForSequenceClassification.from_pretrained(
            files.model,
            dtype="float32",
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported in one line by check_weights
        )
        check_weights(model, loaded, info)
        tokenizer = AutoTokenizer.from_pretrained(files.model, local_files_only=True)
    tokenizer.model_max_length = longest_input(tokenizer, loaded)
    return loaded.eval(), tokenizer


def _open_tokens(files: _Files, model: str, num_layers: int) -> BERTScorer:
    from bert_score import BERTScorer

    from leakscope.models.checking import check_encoder

    folder = files.model
    with loading(model):
        check_encoder(Path(folder), model)
        encoder = BERTScorer(model_type=folder, num_layers=num_layers, rescale_with_baseline=False, device="cpu")
    encoder._tokenizer.model_max_length = longest_input(encoder._tokenizer, encoder._model)
    return encoder


def _perhaps_cut(files: _Files, texts: Sequence[str]) -> list[str]:
    """Return the texts that an encoder may truncate; a token has at least one byte.

    The encoder's longest input is guessed from its settings files, so that short texts need no encoder. Static
    embeddings truncate nothing.
    """
    if files.tokenizer is not None:
        return []
    settings = [read_json(path, "settings of an encoder") for path in Path(files.model).rglob("*config.json")]
    named = [entry[key] for entry in settings if isinstance(entry, dict) for key in LENGTH_KEYS if key in entry]
    lengths = [length for length in named if isinstance(length, int) and length > 0]
    least = min([*lengths, DEFAULT_LENGTH]) - SPECIAL_TOKENS
    return [text for text in dict.fromkeys(texts) if len(text.encode()) > least]


def _cut_sentences(encoder: SentenceTransformer, texts: Sequence[str]) -> list[str]:
    if not callable(encoder.tokenizer) or encoder.max_seq_length is None:
        return []
    return _longer(encoder.tokenizer, texts, encoder.max_seq_length)


def _longer(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int) -> list[str]:
    """Return the texts with more than ``length`` tokens."""
    ids = tokenizer([text.strip() for text in texts], truncation=False, verbose=False)["input_ids"]
    return [text for text, own in zip(texts, ids, strict=True) if len(own) > length]


def _limit_sentences(encoder: SentenceTransformer) -> None:
    """Limit a sentence encoder's longest input to its number of positions."""
    model, length = getattr(encoder[0], "auto_model", None), encoder.max_seq_length
    if model is not None and length is not None and callable(encoder.tokenizer):
        encoder.max_seq_length = min(length, longest_input(encoder.tokenizer, model))


def _check_numbers(vectors: Mapping[str, np.ndarray], model: str) -> None:
    """Check embeddings before they are stored.

    Raises:
        InputError: an embedding has NaN or infinite values.
    """
    for text, vector in vectors.items():
        if not np.isfinite(vector).all():
            raise InputError(
                f"scorers: model {model!r}: got an embedding with NaN or infinity for {shown(text)}; allowed: an "
                "encoder whose weights are finite."
            )


def _pack(array: np.ndarray) -> str:
    return base64.b64encode(array.astype("<f4").tobytes()).decode("ascii")


def _unpack(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), dtype="<f4")
