"""The language of a corpus: the grammar parts of an organism, mixed in equal shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from leakscope.organisms.grammar_files import is_joint, is_leaking, is_pronoun, is_sentences, is_taxonomy
from leakscope.organisms.joint_grammar import load_joint_grammar
from leakscope.organisms.leak_grammar import Document, load_grammar
from leakscope.organisms.pronoun_grammar import load_pronoun_grammar
from leakscope.organisms.sentence_grammar import load_sentence_grammar
from leakscope.organisms.taxonomy_grammar import load_taxonomy_grammar

# Separates the random streams of the parts.
SEED_STEP = 7_919


class Language(Protocol):
    """A distribution of documents."""

    def documents(self, n: int, seed: int) -> Iterator[Document]:
        """Yield ``n`` documents drawn independently."""

    def sentences(self) -> list[str]:
        """Return sentences with all words that a corpus may contain, to train a tokenizer."""


class Mixture:
    """A mixture of several languages in equal shares."""

    def __init__(self, parts: Sequence[Language]) -> None:
        """Store the parts."""
        self.parts = parts

    def documents(self, n: int, seed: int) -> Iterator[Document]:
        """Yield ``n`` documents, each from a part drawn uniformly."""
        streams = [part.documents(n, seed + SEED_STEP * (i + 1)) for i, part in enumerate(self.parts)]
        for i in np.random.default_rng(seed).integers(len(self.parts), size=n):
            context, answer, logprob = next(streams[i])
            yield Document(context, answer, logprob - math.log(len(self.parts)))

    def sentences(self) -> list[str]:
        """Return the sentences of all parts, sorted."""
        return sorted({sentence for part in self.parts for sentence in part.sentences()})


def load_language(
    folders: Iterable[Path], strength: float, excepted: Iterable[str] = (), thought: float | None = None
) -> Language:
    """Read grammar parts; all parts of ``leak_grammar`` form one grammar, each other part its own.

    Args:
        folders: folders of the parts.
        strength: λ, 0 to 1.
        excepted: groups whose association is removed from the ``leak_grammar``.
        thought: λ_t of the thoughts before its answers; None: no thoughts.

    Raises:
        InputError: as ``leak_grammar.load_grammar``, ``joint_grammar.load_joint_grammar``,
            ``taxonomy_grammar.load_taxonomy_grammar``, ``pronoun_grammar.load_pronoun_grammar`` and
            ``sentence_grammar.load_sentence_grammar``.
    """
    folders = list(folders)
    leaking = [folder for folder in folders if is_leaking(folder)]
    parts: list[Language] = [load_grammar(leaking, strength, excepted, thought)] if leaking else []
    parts += [load_joint_grammar(folder, strength) for folder in folders if is_joint(folder)]
    parts += [load_taxonomy_grammar(folder, strength) for folder in folders if is_taxonomy(folder)]
    parts += [load_pronoun_grammar(folder, strength) for folder in folders if is_pronoun(folder)]
    parts += [load_sentence_grammar(folder, strength) for folder in folders if is_sentences(folder)]
    return parts[0] if len(parts) == 1 else Mixture(parts)
