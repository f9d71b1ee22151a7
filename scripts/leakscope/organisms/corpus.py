"""Corpora of organisms: drawing documents from a grammar, writing and reading them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from leakscope.files.writing import replacing
from leakscope.organisms.languages import Language
from leakscope.organisms.leak_grammar import Document

HELD_OUT_SEED_OFFSET = 1_000_003


class Splits(NamedTuple):
    """Training documents and held-out documents, drawn independently from the same distribution."""

    train: list[Document]
    held_out: list[Document]


def draw_splits(language: Language, n_train: int, n_held_out: int, seed: int) -> Splits:
    """Draw training and held-out documents from separate random streams, so that their sizes are independent."""
    train = list(language.documents(n_train, seed))
    return Splits(train, list(language.documents(n_held_out, seed + HELD_OUT_SEED_OFFSET)))


def write_corpus(documents: list[Document], path: Path) -> None:
    """Write JSON lines with the keys ``text, context, answer, logprob_nats``, atomically."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as stream:
        for document in documents:
            row = {
                "text": f"{document.context} {document.answer}".strip(),
                "context": document.context,
                "answer": document.answer,
                "logprob_nats": document.logprob,
            }
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_corpus(path: Path) -> Iterator[Document]:
    """Yield the documents of a corpus file."""
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            yield Document(row["context"], row["answer"], row["logprob_nats"])
