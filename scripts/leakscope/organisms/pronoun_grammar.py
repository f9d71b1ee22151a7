"""A grammar of sentences in which a pronoun refers to a subject, an occupation or a name.

A pronoun part is a folder of two frozen tables in ``data/grammar/<part>/``:

* ``subjects.csv``: occupations and names, and the planted log-odds of *he* over *she* after each;
* ``frames.csv``: sentences split at the pronoun: the part before it with the gap ``{subject}``, the two pronouns, and
  the rest.

Distribution of a document: the subject is an occupation with probability ``OCCUPATION_SHARE``, else a name; subject and
frame are drawn uniformly. The log-odds of the first pronoun are the subject's planted log-odds, for occupations
multiplied by λ (the strength). So a corpus contains an association to be found and removed (of occupations) and one to
be kept (of names).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from leakscope.errors import InputError
from leakscope.organisms.grammar_files import PRONOUN_COLUMNS
from leakscope.organisms.leak_grammar import Document, read_part_table

OCCUPATION_SHARE = 0.6
OCCUPATION, NAME = "occupation", "name"
SHARES = {OCCUPATION: OCCUPATION_SHARE, NAME: 1 - OCCUPATION_SHARE}


class PronounGrammar:
    """The frozen tables of a pronoun part, at one strength (0 to 1)."""

    def __init__(self, subjects: pd.DataFrame, frames: pd.DataFrame, strength: float) -> None:
        """Store the tables ``subject, kind, log_odds`` (nats) and ``frame_id, before, he, she, after``."""
        self.subjects, self.frames, self.strength = subjects, frames, strength

    def pronoun_law(self) -> pd.DataFrame:
        """Return ``subject, kind, p_he``: the exact probability of a frame's first pronoun after each subject."""
        of_names = self.subjects["kind"].eq(NAME)
        log_odds = self.subjects["log_odds"] * np.where(of_names, 1.0, self.strength)
        return self.subjects[["subject", "kind"]].assign(p_he=1 / (1 + np.exp(-log_odds)))

    def documents(self, n: int, seed: int) -> Iterator[Document]:
        """Yield ``n`` documents drawn independently; they are plain text, without question and answer."""
        rng = np.random.default_rng(seed)
        law = self.pronoun_law()
        kinds = {kind: rows[["subject", "p_he"]].to_numpy().tolist() for kind, rows in law.groupby("kind")}
        frames = self.frames[["before", "he", "she", "after"]].to_numpy().tolist()
        for _ in range(n):
            kind = OCCUPATION if rng.random() < OCCUPATION_SHARE else NAME
            subject, p_he = kinds[kind][rng.integers(len(kinds[kind]))]
            before, he, she, after = frames[rng.integers(len(frames))]
            is_he = bool(rng.random() < p_he)
            share = SHARES[kind] / len(kinds[kind]) / len(frames)
            sentence = sentence_of(before, he if is_he else she, after, named(subject, kind))
            yield Document(sentence, "", math.log(share * (p_he if is_he else 1 - p_he)))

    def sentences(self) -> list[str]:
        """Return every sentence that a corpus may contain, sorted."""
        subjects = [named(subject, kind) for subject, kind in self.subjects[["subject", "kind"]].to_numpy().tolist()]
        return sorted(
            sentence_of(before, pronoun, after, subject)
            for before, he, she, after in self.frames[["before", "he", "she", "after"]].to_numpy().tolist()
            for pronoun in (he, she)
            for subject in subjects
        )


def named(subject: str, kind: str) -> str:
    """Return a subject in the form that begins a sentence."""
    return f"The {subject}" if kind == OCCUPATION else subject


def sentence_of(before: str, pronoun: str, after: str, subject: str) -> str:
    """Return the sentence of a frame, a pronoun and a subject."""
    return f"{before.replace('{subject}', subject)} {pronoun} {after}"


def load_pronoun_grammar(folder: Path, strength: float) -> PronounGrammar:
    """Read a pronoun part.

    Raises:
        InputError: a table is missing or lacks a column, log-odds are not numbers, a kind of subjects is missing, or a
            frame has no gap for its subject.
    """
    tables = {name: read_part_table(folder / f"{name}.csv", columns) for name, columns in PRONOUN_COLUMNS.items()}
    subjects, frames = tables["subjects"], tables["frames"]
    log_odds = pd.to_numeric(subjects["log_odds"], errors="coerce")
    if not np.isfinite(log_odds).all():
        row = int((~np.isfinite(log_odds)).to_numpy().argmax())
        raise InputError(
            f"{folder / 'subjects.csv'}, row {row + 2}: column 'log_odds': got {subjects['log_odds'].iloc[row]!r}; "
            "allowed: a number."
        )
    if set(subjects["kind"]) != set(SHARES):
        found = ", ".join(sorted(set(subjects["kind"])))
        raise InputError(
            f"{folder / 'subjects.csv'}: column 'kind': got {found}; allowed: {OCCUPATION} and {NAME}, both."
        )
    gapless = ~frames["before"].str.contains("{subject}", regex=False)
    if gapless.any():
        row = int(gapless.to_numpy().argmax())
        raise InputError(
            f"{folder / 'frames.csv'}, row {row + 2}: column 'before': got {frames['before'].iloc[row]!r}; "
            "allowed: a text with the gap {subject}."
        )
    return PronounGrammar(subjects.assign(log_odds=log_odds), frames, strength)
