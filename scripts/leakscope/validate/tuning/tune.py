"""Tuning a model to close the gap: loading options, neutral texts, training, and its record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from leakscope.errors import InputError
from leakscope.models.neutral import (
    encode_neutral_documents,
    encode_neutral_texts,
    neutral_documents,
    part_of_documents,
    read_neutral_texts,
)
from leakscope.models.opening import LanguageModel
from leakscope.models.tuning.learners import FullLearner, Learner, LoraLearner, check_whole
from leakscope.models.tuning.terms import NEUTRAL_TOKENS, Term, keep_term
from leakscope.models.tuning.trainer import Checkpoint, train
from leakscope.organisms.corpus import read_corpus
from leakscope.storage.fingerprints import code_hash
from leakscope.validate.scoring.item_scores import answer_tokens
from leakscope.validate.tuning.examples import Example
from leakscope.validate.tuning.methods import FULL, LORA, Method
from leakscope.validate.tuning.student import Student
from leakscope.validate.tuning.terms import Lesson

ROUNDING = 6  # digits of losses in a record
KEY_DIGITS = 32
CODE = (Path(__file__).parent, Path(__file__).parents[2] / "models/tuning")


class TuningResult(NamedTuple):
    """The trained learner, and the record: method, and for each term the number of items or pairs and the losses."""

    learner: Learner
    record: dict[str, Any]


def training_options(loading: Mapping[str, Any], *, full: bool, is_organism: bool) -> dict[str, Any]:
    """Return the options to load a model for training.

    Full training uses float32, so that small steps are not rounded away. Organisms are trained on the CPU, so that
    their weights are the same on every machine.

    Raises:
        InputError: the model would be quantised.
    """
    if loading["quantization"]:
        raise InputError("tuning: key 'quantization': got a quantised model; allowed: null.")
    return {
        **loading,
        **({"dtype": "float32"} if full else {}),
        **({"device": "cpu"} if is_organism else {}),
    }


def tune(
    model: LanguageModel,
    examples: Sequence[Example],
    neutral: Sequence[list[int]],
    method: Method,
    *,
    full: bool,
    seed: int,
    name: str,
    checkpoint: Path | None = None,
) -> TuningResult:
    """Train a model in place, and return the learner with its record.

    Args:
        model: causal, opened with ``training_options``.
        examples: training items.
        neutral: token ids of texts on which the model should not change; not used if the method's ``keep`` is 0.
        method: the method.
        full: whether all weights are trained, rather than an adapter.
        seed: of adapter, draws and dropout.
        name: the tuned model's name in the study.
        checkpoint: folder for checkpoints of this training only; None: no checkpoints.

    Raises:
        InputError: as ``Lesson.terms``, ``keep_term``, ``LoraLearner`` and ``trainer.train``; the model is quantised.
    """
    check_whole(model.config, name)
    learner: Learner = (
        FullLearner(model.model, model.tokenizer, keeps_base=method.keep > 0)
        if full
        else LoraLearner(model.model, method.lora, seed)
    )
    student = Student(learner.model, answer_tokens(model.tokenizer).ids)
    terms: list[Term] = Lesson(student, examples, method, seed).terms()
    if method.keep > 0:
        terms.append(keep_term(learner, neutral, method, seed))
    key = _key(model, examples, neutral if method.keep > 0 else [], method, full=full, seed=seed)
    kept = Checkpoint(checkpoint, key) if checkpoint else None
    losses = train(learner, terms, method, method.highest_rate(full=full), name, kept)
    return TuningResult(learner, _record(learner, terms, losses, method, examples, full=full, seed=seed))


def neutral_rows(
    model: LanguageModel, method: Method, path: Path, questions: Iterable[str], *, is_corpus: bool
) -> list[list[int]]:
    """Return the token ids of the neutral texts needed for a training, each cut to ``NEUTRAL_TOKENS``.

    Args:
        model: the base.
        method: its ``steps``, ``batch_size`` and ``keep`` are used.
        path: texts or a corpus; the part for measuring perplexity is excluded.
        questions: questions of the task; documents of a corpus that mention one are excluded.
        is_corpus: whether ``path`` is an organism's training corpus.

    Raises:
        InputError: the texts are invalid.
    """
    n_read = method.steps * method.batch_size if method.keep else 0
    if not n_read:
        return []
    if is_corpus:
        documents = part_of_documents(neutral_documents(read_corpus(path), questions), measures=False)
        encoded = encode_neutral_documents(model, documents[:n_read])
    else:
        encoded = encode_neutral_texts(model, read_neutral_texts(path).train[:n_read])
    return [row.ids[:NEUTRAL_TOKENS] for row in encoded]


def _record(
    learner: Learner,
    terms: Sequence[Term],
    losses: Mapping[str, Sequence[float]],
    method: Method,
    examples: Sequence[Example],
    *,
    full: bool,
    seed: int,
) -> dict[str, Any]:
    settings = method._asdict()
    return {
        "method": {**settings, "lora": None if full else method.lora._asdict()},
        "learning_rate": method.highest_rate(full=full),
        "parameters": FULL if full else LORA,
        "trained_parameters": sum(weight.numel() for weight in learner.parameters().values()),
        "training_items": len(examples),
        "seed": seed,
        "terms": {
            term.name: {
                "drawn": term.unit,
                "available": term.n,
                "weight": term.weight,
                "loss_nats": [round(value, ROUNDING) for value in losses[term.name]],
            }
            for term in terms
        },
    }


def _key(
    model: LanguageModel,
    examples: Sequence[Example],
    neutral: Sequence[list[int]],
    method: Method,
    *,
    full: bool,
    seed: int,
) -> str:
    """Return a hash of everything that determines a training; of libraries, only torch's version is included."""
    deciding = {
        "code": code_hash([path for folder in CODE for path in sorted(folder.glob("*.py"))]),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": model.model.device.type,
        "model": model.identity,
        # The number of checkpoints does not affect a training.
        "method": method._replace(checkpoint_steps=0),
        "full": full,
        "seed": seed,
        "examples": examples,
        "neutral": neutral,
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]
