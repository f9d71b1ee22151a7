"""A grammar of a taxonomy with a planted generator–validator gap: its corpus completes and affirms hypernym pairs.

A taxonomy part is a folder of three frozen tables in ``data/grammar/<part>/``:

* ``generator.csv``: the planted log-weight of every hypernym as a completion of every hyponym;
* ``validator.csv``: the pairs that are asked about, whether each is right, and its own part in the verdict;
* ``forms.csv``: the prompts for a completion, and those for a verdict.

Distribution of a document: a completion with probability ``COMPLETED_SHARE``, else a verdict, with a uniformly drawn
form of its kind. A completion has a uniform hyponym x and a hypernym y with p(y|x) ∝ exp(log-weight). A verdict is on a
uniform pair of the table, and is Yes with log-odds

    v = ±``CENTRE`` + ``SPREAD`` (λ g + √(1−λ²) n),

+ for right and − for wrong pairs, where g is the log-odds log p(y|x) − log(1−p(y|x)) of the completion and n the pair's
own part, each standardised within right and within wrong pairs. At strength λ = 1 verdicts follow completions; at lower
strengths they diverge within right and within wrong pairs, while accuracy stays about the same. Both log-odds and their
Pearson correlation, the true gap, are known exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.errors import InputError
from leakscope.organisms.grammar_files import TAXONOMY_COLUMNS
from leakscope.organisms.leak_grammar import Document, read_part_table

COMPLETED_SHARE = 0.35  # of documents; verdicts are learnt more slowly
CENTRE, SPREAD = 3.0, 2.0  # of a verdict's log-odds, in nats: about nine verdicts in ten are right
GENERATOR, VALIDATOR = "generator", "validator"
YES, NO = "Yes", "No"

Floats = NDArray[np.float64]


class TaxonomyGrammar:
    """The frozen tables of a taxonomy part, at one strength (0 to 1)."""

    def __init__(self, weights: pd.DataFrame, verdicts: pd.DataFrame, forms: pd.DataFrame, strength: float) -> None:
        """Store the tables ``hyponym, hypernym, log_weight``, ``hyponym, hypernym, right, own`` and ``kind, text``."""
        self.log_weights = weights.pivot(index="hyponym", columns="hypernym", values="log_weight")
        self.verdicts, self.strength = verdicts, strength
        self.texts = {kind: list(forms.loc[forms["kind"] == kind, "text"]) for kind in (GENERATOR, VALIDATOR)}

    def completion_law(self) -> pd.DataFrame:
        """Return p(hypernym | hyponym): hyponyms × hypernyms, rows summing to 1."""
        weights = np.exp(self.log_weights.to_numpy())
        law = weights / weights.sum(axis=1, keepdims=True)
        return pd.DataFrame(law, index=self.log_weights.index, columns=self.log_weights.columns)

    def log_odds(self) -> pd.DataFrame:
        """Return ``question, candidate, positive, l_g, l_v``: exact log-odds, in nats, of every pair asked about."""
        law = self.completion_law()
        pairs = zip(self.verdicts["hyponym"], self.verdicts["hypernym"], strict=True)
        p = np.array([law.loc[pair] for pair in pairs])
        completed = np.log(p) - np.log1p(-p)
        right = self.verdicts["right"].to_numpy()
        own = standardised_within(self.verdicts["own"].to_numpy(), right)
        spread = self.strength * standardised_within(completed, right) + math.sqrt(1 - self.strength**2) * own
        return pd.DataFrame(
            {
                "question": self.verdicts["hyponym"],
                "candidate": self.verdicts["hypernym"],
                "positive": right,
                "l_g": completed,
                "l_v": np.where(right, CENTRE, -CENTRE) + SPREAD * spread,
            }
        )

    def documents(self, n: int, seed: int) -> Iterator[Document]:
        """Yield ``n`` documents drawn independently from the grammar."""
        rng = np.random.default_rng(seed)
        law = self.completion_law()
        hyponyms, hypernyms, p = list(law.index), list(law.columns), law.to_numpy()
        pairs = self.log_odds()
        asked = list(zip(pairs["question"], pairs["candidate"], strict=True))
        affirmed = 1 / (1 + np.exp(-pairs["l_v"].to_numpy()))
        for _ in range(n):
            kind = GENERATOR if rng.random() < COMPLETED_SHARE else VALIDATOR
            form = self.texts[kind][rng.integers(len(self.texts[kind]))]
            share = (COMPLETED_SHARE if kind == GENERATOR else 1 - COMPLETED_SHARE) / len(self.texts[kind])
            if kind == GENERATOR:
                x = int(rng.integers(len(hyponyms)))
                y = int(rng.choice(len(hypernyms), p=p[x]))
                yield Document(filled(form, hyponyms[x]), hypernyms[y], math.log(share / len(hyponyms) * p[x, y]))
            else:
                i = int(rng.integers(len(asked)))
                yes = bool(rng.random() < affirmed[i])
                probability = affirmed[i] if yes else 1 - affirmed[i]
                yield Document(filled(form, *asked[i]), YES if yes else NO, math.log(share / len(asked) * probability))

    def sentences(self) -> list[str]:
        """Return sentences with all words that a corpus may contain, sorted."""
        law = self.log_weights
        completions = [f"{filled(form, x)} {law.columns[0]}" for form in self.texts[GENERATOR] for x in law.index]
        asked = zip(self.verdicts["hyponym"], self.verdicts["hypernym"], [YES, NO] * len(self.verdicts), strict=False)
        verdicts = [f"{filled(form, x, y)} {answer}" for x, y, answer in asked for form in self.texts[VALIDATOR]]
        return sorted({*completions, *verdicts, *law.columns})


def filled(form: str, question: str, candidate: str = "") -> str:
    """Return a form with its gaps filled."""
    return form.replace("{question}", question).replace("{candidate}", candidate)


def standardised_within(values: Floats, groups: NDArray[np.bool_]) -> Floats:
    """Return values standardised within each group: minus the group's mean, divided by its standard deviation."""
    result = np.empty_like(values, dtype=float)
    for group in (True, False):
        chosen = values[groups == group]
        result[groups == group] = (chosen - chosen.mean()) / chosen.std()
    return result


def load_taxonomy_grammar(folder: Path, strength: float) -> TaxonomyGrammar:
    """Read a taxonomy part.

    Raises:
        InputError: a table is missing or lacks a column, a number is invalid, a pair is missing or unknown, a label is
            neither yes nor no, or a kind of pairs or of forms is missing.
    """
    tables = {name: read_part_table(folder / f"{name}.csv", columns) for name, columns in TAXONOMY_COLUMNS.items()}
    weights = _with_numbers(tables["generator"], "log_weight", folder / "generator.csv")
    verdicts = _with_numbers(tables["validator"], "own", folder / "validator.csv")
    if len(weights) != weights["hyponym"].nunique() * weights["hypernym"].nunique():
        raise InputError(
            f"{folder / 'generator.csv'}: got {len(weights)} rows; allowed: one per pair of a hyponym and a hypernym."
        )
    known = set(zip(weights["hyponym"], weights["hypernym"], strict=True))
    for pair in zip(verdicts["hyponym"], verdicts["hypernym"], strict=True):
        if pair not in known:
            raise InputError(
                f"{folder / 'validator.csv'}: got the pair {' '.join(pair)!r}; allowed: pairs of generator.csv."
            )
    if set(verdicts["right"]) != {"yes", "no"} or verdicts["right"].value_counts().min() < 2:
        found = ", ".join(f"{n} {label}" for label, n in verdicts["right"].value_counts().sort_index().items())
        raise InputError(f"{folder / 'validator.csv'}: column 'right': got {found}; allowed: at least 2 yes and 2 no.")
    if verdicts.duplicated(["hyponym", "hypernym"]).any():
        row = int(verdicts.duplicated(["hyponym", "hypernym"]).to_numpy().argmax())
        raise InputError(f"{folder / 'validator.csv'}, row {row + 2}: got a pair again; allowed: each pair once.")
    forms = tables["forms"]
    if set(forms["kind"]) != {GENERATOR, VALIDATOR}:
        found = ", ".join(sorted(set(forms["kind"])))
        raise InputError(
            f"{folder / 'forms.csv'}: column 'kind': got {found}; allowed: {GENERATOR} and {VALIDATOR}, both."
        )
    grammar = TaxonomyGrammar(weights, verdicts.assign(right=verdicts["right"].eq("yes")), forms, strength)
    with np.errstate(all="ignore"):
        is_law = np.isfinite(grammar.log_odds()[["l_g", "l_v"]].to_numpy()).all()
    if not is_law:
        allowed = "such that each pair asked about has a probability between 0 and 1, and pairs of a label differ"
        raise InputError(f"{folder}: got weights without finite log-odds; allowed: log_weight and own {allowed}.")
    return grammar


def _with_numbers(table: pd.DataFrame, column: str, path: Path) -> pd.DataFrame:
    numbers = pd.to_numeric(table[column], errors="coerce")
    if not np.isfinite(numbers).all():
        row = int((~np.isfinite(numbers)).to_numpy().argmax())
        raise InputError(
            f"{path}, row {row + 2}: column {column!r}: got {table[column].iloc[row]!r}; allowed: a number."
        )
    return table.assign(**{column: numbers})
