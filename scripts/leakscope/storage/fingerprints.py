"""Fingerprints: for each kind of stored value, everything that determines the value except its key.

Batch size, the rest of a batch, order, threads and device are not included, because they change a value only by
rounding. Nor are versions of libraries, which may change more; see docs/reuse.md.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGE = "leakscope"
# Increased by one when a bug fix outside of the modules below changes values.
REVISIONS = {
    **{"texts": 1, "scores": 1, "embeddings": 1, "labels": 1},
    **{"sentences": 1, "sentences_within_word": 1, "log_odds": 1},
}
# The modules whose code is part of a fingerprint. All other code must keep the values, which tests check.
MODULES = {
    "texts": ("models/endings", "models/sampling"),
    "scores": ("models/sampling",),
    "embeddings": ("similarity/embeddings",),
    "labels": ("similarity/classifying",),
    "sentences": ("models/sentence_logprobs",),
    "sentences_within_word": ("models/sentence_logprobs", "ground/within_word"),
    "log_odds": ("validate/scoring/log_odds", "validate/scoring/lens"),
}


def text_fingerprint(
    model: Mapping[str, Any],
    decoding: Mapping[str, Any],
    limits: Mapping[str, Any],
    *,
    seed: int,
    chat: bool,
    thinking: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the fingerprint of texts; the key of a text is its rendered prompt and the number of its sample.

    Args:
        model: ``LanguageModel.identity``.
        decoding: ``sampling.Decoding``, with the model's own settings filled in.
        limits: ``endings.Limits``.
        seed: of the random numbers.
        chat: whether the rendered prompt already contains its special tokens.
        thinking: for a model that thinks first, the marks and the budget of its thoughts; else None.
    """
    limits = {**limits, "ends": list(limits["ends"])}
    thoughts = {} if thinking is None else {"thinking": dict(thinking)}
    return _fingerprint(
        "texts", model=dict(model), decoding=dict(decoding), limits=limits, seed=seed, chat=chat, **thoughts
    )


def score_fingerprint(model: Mapping[str, Any], decoding: Mapping[str, Any], *, chat: bool) -> dict[str, Any]:
    """Return the fingerprint of candidate scores; their key is the rendered prompt and the candidates' tokens."""
    return _fingerprint("scores", model=dict(model), decoding=dict(decoding), chat=chat)


def embedding_fingerprint(encoder_sha256: str, **settings: Any) -> dict[str, Any]:
    """Return the fingerprint of embeddings; the key of an embedding is its text.

    Args:
        encoder_sha256: of all files of the encoder's folder.
        settings: further settings that determine an embedding.
    """
    return _fingerprint("embeddings", encoder_sha256=encoder_sha256, **settings)


def label_fingerprint(classifier_sha256: str) -> dict[str, Any]:
    """Return the fingerprint of label probabilities; their key is the text.

    Args:
        classifier_sha256: of all files of the classifier's folder.
    """
    return _fingerprint("labels", encoder_sha256=classifier_sha256)


def sentence_fingerprint(model: Mapping[str, Any], model_kind: str, *, within_word: bool = False) -> dict[str, Any]:
    """Return the fingerprint of sentences' token log-probabilities; their key is the text and a digest of its tokens.

    Args:
        model: ``LanguageModel.identity``.
        model_kind: from ``kinds.kind_of``; each kind defines a token's probability in its own way.
        within_word: for a masked model, whether the rest of a token's word is masked too (``ground.within_word``).
    """
    kind = "sentences_within_word" if within_word else "sentences"
    return _fingerprint(kind, model=dict(model), model_kind=model_kind)


def log_odds_fingerprint(model: Mapping[str, Any], of: str) -> dict[str, Any]:
    """Return the fingerprint of log-odds; their key is the rendered prompt and a digest of its and the answers' ids.

    Args:
        model: ``LanguageModel.identity``.
        of: the kind of log-odds, see ``validate.scoring.item_scores``.
    """
    return _fingerprint("log_odds", model=dict(model), of=of)


def code_hash(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of the code in Python files, without comments, docstrings and layout.

    Imports of leakscope's own modules are ignored too, because a module's location does not affect its results.
    """
    digest = hashlib.sha256()
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            for field in ("body", "orelse", "finalbody"):
                statements = getattr(node, field, None)
                if isinstance(statements, list) and any(map(_is_own_import, statements)):
                    setattr(node, field, [one for one in statements if not _is_own_import(one)] or [ast.Pass()])
        digest.update(ast.unparse(tree).encode())
    return digest.hexdigest()


def _is_own_import(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return (statement.module or "").split(".")[0] == PACKAGE
    return isinstance(statement, ast.Import) and all(name.name.split(".")[0] == PACKAGE for name in statement.names)


def _fingerprint(kind: str, **settings: Any) -> dict[str, Any]:
    library = Path(__file__).parents[1]
    code = code_hash([library / f"{module}.py" for module in MODULES[kind]])
    return {"kind": kind, "revision": REVISIONS[kind], "code_sha256": code, **settings}
