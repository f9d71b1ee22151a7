"""A grammar of sentences with planted co-occurrence probabilities of subjects and groups.

A joint part is a folder of two frozen tables in ``data/grammar/<part>/``:

* ``pairs.csv``: the planted probability of every (subject, group);
* ``sentences.csv``: sentences with the gaps ``{subject}`` and ``{group}``, and the relation by which the two are drawn:
  ``planted``, or ``independent``, as of words far apart in a text.

Distribution of a document: draw a relation (``independent`` with probability ``INDEPENDENT_SHARE``), one of its
sentences uniformly, and a subject by its planted marginal. Then draw a group: in an independent sentence from the
groups' marginals; in a planted one with probability λ (the strength) from the planted conditional given the subject,
else from the marginals. So at strength 0 a corpus contains only the frequencies of subjects and groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from leakscope.errors import InputError
from leakscope.organisms.grammar_files import JOINT_COLUMNS
from leakscope.organisms.leak_grammar import Document, read_part_table

INDEPENDENT_SHARE = 0.2
PLANTED, INDEPENDENT = "planted", "independent"


class JointGrammar:
    """The frozen tables of a joint part, at one strength (0 to 1)."""

    def __init__(self, pairs: pd.DataFrame, sentences: pd.DataFrame, strength: float) -> None:
        """Store the tables ``subject, group, probability`` (of all pairs) and ``sentence_id, text, relation``."""
        self.planted = pairs.pivot(index="subject", columns="group", values="probability")
        self.subjects, self.groups = list(self.planted.index), list(self.planted.columns)
        self.texts = {
            relation: list(sentences.loc[sentences["relation"] == relation, "text"])
            for relation in (PLANTED, INDEPENDENT)
        }
        self.strength = strength

    def pair_law(self, relation: str = PLANTED) -> pd.DataFrame:
        """Return the probability of every pair in a sentence of the relation: subjects × groups, summing to 1."""
        planted = self.planted.to_numpy()
        by_chance = np.outer(planted.sum(1), planted.sum(0))
        strength = self.strength if relation == PLANTED else 0.0
        law = strength * planted + (1 - strength) * by_chance
        return pd.DataFrame(law, index=self.planted.index, columns=self.planted.columns)

    def documents(self, n: int, seed: int) -> Iterator[Document]:
        """Yield ``n`` documents drawn independently; they are plain text, without question and answer."""
        rng = np.random.default_rng(seed)
        laws = {relation: self.pair_law(relation).to_numpy().ravel() for relation in self.texts}
        independent = INDEPENDENT_SHARE if self.texts[INDEPENDENT] else 0.0
        for _ in range(n):
            relation = INDEPENDENT if rng.random() < independent else PLANTED
            texts, law = self.texts[relation], laws[relation]
            text = texts[rng.integers(len(texts))]
            pair = int(rng.choice(len(law), p=law))
            share = independent if relation == INDEPENDENT else 1 - independent
            sentence = self._fill(text, pair)
            yield Document(sentence, "", math.log(share / len(texts) * law[pair]))

    def sentences(self) -> list[str]:
        """Return every sentence that a corpus may contain, sorted."""
        texts = [text for texts in self.texts.values() for text in texts]
        return sorted(self._fill(text, pair) for text in texts for pair in range(self.planted.size))

    def _fill(self, text: str, pair: int) -> str:
        subject, group = divmod(pair, len(self.groups))
        return text.replace("{subject}", self.subjects[subject]).replace("{group}", self.groups[group])


def load_joint_grammar(folder: Path, strength: float) -> JointGrammar:
    """Read a joint part.

    Raises:
        InputError: a table is missing or lacks a column, a probability is negative or not a number, probabilities do
            not sum to 1, a pair is missing, or a sentence's relation is unknown.
    """
    tables = {name: read_part_table(folder / f"{name}.csv", columns) for name, columns in JOINT_COLUMNS.items()}
    pairs, sentences = tables["pairs"], tables["sentences"]
    path = folder / "pairs.csv"
    probability = pd.to_numeric(pairs["probability"], errors="coerce")
    if not probability.ge(0).all() or abs(probability.sum() - 1) > 1e-6:
        raise InputError(
            f"{path}: got probabilities that sum to {probability.sum():g}; allowed: numbers from 0 that sum to 1."
        )
    if len(pairs) != pairs["subject"].nunique() * pairs["group"].nunique():
        raise InputError(f"{path}: got {len(pairs)} rows; allowed: one for every pair of a subject and a group.")
    unknown = sentences[~sentences["relation"].isin([PLANTED, INDEPENDENT])]
    if len(unknown):
        found = unknown["relation"].iloc[0]
        raise InputError(f"{folder / 'sentences.csv'}: got relation {found!r}; allowed: {PLANTED}, {INDEPENDENT}.")
    if PLANTED not in set(sentences["relation"]):
        raise InputError(f"{folder / 'sentences.csv'}: got no sentence of relation {PLANTED}; allowed: at least one.")
    return JointGrammar(pairs.assign(probability=probability / probability.sum()), sentences, strength)
