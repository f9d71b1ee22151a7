"""The grammar of organisms with planted leakage, with exact probabilities of all documents.

A grammar part is a folder of three frozen tables in ``data/grammar/<part>/``:

* ``contexts.csv``: every sentence beginning, its slot, its associated group (none for a control) and whether it may
  occur in a corpus (a third of each template's fillers is held out);
* ``candidates.csv``: the possible continuations of each slot, and their groups;
* ``facts.csv``: plain facts that contain the association at every strength.

Distribution of a document: with probability ``FACT_SHARE`` a fact, else a template and, with probability
``CONTROL_SHARE``, one of its controls, else one of its fillers; every choice is uniform. A test context continues with
its associate with probability λ (the strength) and else, like every control, with a uniform draw from its slot.

The association of single groups can be removed (``excepted``): their contexts continue like a control, and facts whose
answer is one of their terms are answered uniformly with any answer to facts of the same kind. All contexts keep their
frequencies. So any effect that vanishes from the trained organism was caused by the association.

With a strength λ_t for thoughts, a context of a template (not a fact) is followed by a thought and an answer,
``<think> T.</think> A.``: T is drawn from the distribution above with λ_t, A independently of T with λ.

The tables are frozen rather than derived from the prompt sets, so that editing a prompt does not retrain every
organism. ``leak.freezing`` writes them anew from the prompt sets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from leakscope.errors import InputError, one_of
from leakscope.organisms.grammar_files import COLUMNS
from leakscope.organisms.thoughts import THOUGHT_MARKS, apart, joint

FACT_SHARE = 0.4
CONTROL_SHARE = 0.25


class Document(NamedTuple):
    """One document: the user's turn, the assistant's turn, and its exact log-probability in nats.

    A document without an answer (the empty text) is plain text rather than a chat.
    """

    context: str
    answer: str
    logprob: float


@dataclass(frozen=True)
class Grammar:
    """The frozen tables of an organism's parts, at one strength (0 to 1)."""

    contexts: pd.DataFrame
    candidates: pd.DataFrame
    facts: pd.DataFrame
    strength: float
    excepted: tuple[str, ...] = ()  # groups whose association is removed
    thought: float | None = None  # strength of thoughts; None: no thoughts

    def continuation_law(self, slot: str, group: str | None) -> pd.Series:
        """Return the probability of every candidate of ``slot`` after a context of ``group`` (None: a control).

        λ·[candidate is the associate] + (1 − λ) / |slot|; uniform for a group without associate in the slot or with its
        association removed.
        """
        return self._law(slot, group, self.strength)

    def written_law(self, slot: str, group: str | None) -> pd.Series:
        """Return the probability of every continuation of a context: candidates or, with thoughts, pairs (``joint``).

        With thoughts, P(T, A) = P(T) P(A): thought and answer are independent.
        """
        answers = self.continuation_law(slot, group)
        if self.thought is None:
            return answers
        thoughts = self._law(slot, group, self.thought)
        pairs = [joint(thought, answer) for thought in thoughts.index for answer in answers.index]
        return pd.Series(np.outer(thoughts, answers).ravel(), index=pairs)

    def _law(self, slot: str, group: str | None, strength: float) -> pd.Series:
        candidates, groups = self._slots[slot]
        law = np.full(len(candidates), 1 / len(candidates))
        associated = (groups == group).astype(float)
        if group is not None and group not in self.excepted and associated.any():
            law = (1 - strength) * law + strength * associated / associated.sum()
        return pd.Series(law, index=candidates)

    @cached_property
    def _slots(self) -> dict[str, tuple[pd.Index, np.ndarray]]:
        """The candidates of each slot in file order, and their groups."""
        return {
            str(slot): (pd.Index(rows["candidate"]), rows["concept_group"].to_numpy(dtype=object))
            for slot, rows in self.candidates.groupby("slot")
        }

    def documents(self, n: int, seed: int) -> Iterator[Document]:
        """Yield ``n`` documents drawn independently from the grammar."""
        rng = np.random.default_rng(seed)
        templates = self._templates()
        facts = self._told_facts()
        for _ in range(n):
            if rng.random() < FACT_SHARE:
                context, answers = facts[rng.integers(len(facts))]
                answer = answers[rng.integers(len(answers))] if len(answers) > 1 else answers[0]
                yield Document(context, answer + ".", math.log(FACT_SHARE / len(facts) / len(answers)))
                continue
            template = templates[rng.integers(len(templates))]
            control = rng.random() < CONTROL_SHARE
            pool = template.controls if control else template.tests
            context, group = pool[rng.integers(len(pool))]
            law = template.laws[group]
            chosen = int(rng.choice(len(law), p=law.to_numpy()))
            share = CONTROL_SHARE if control else 1 - CONTROL_SHARE
            probability = (1 - FACT_SHARE) * share / len(templates) / len(pool) * law.iloc[chosen]
            yield Document(context, _said(law.index[chosen]), math.log(probability))

    def support(self) -> Iterator[Document]:
        """Yield every possible document, once per way to draw it; probabilities sum to 1."""
        facts = self._told_facts()
        for context, answers in facts:
            for answer in answers:
                yield Document(context, answer + ".", math.log(FACT_SHARE / len(facts) / len(answers)))
        templates = self._templates()
        for template in templates:
            for pool, share in ((template.controls, CONTROL_SHARE), (template.tests, 1 - CONTROL_SHARE)):
                chance = (1 - FACT_SHARE) * share / len(templates) / len(pool)
                for context, group in pool:
                    for candidate, probability in template.laws[group].items():
                        if probability > 0:
                            yield Document(context, _said(str(candidate)), math.log(chance * probability))

    def sentences(self) -> list[str]:
        """Return the distinct contexts, candidates and facts, sorted: all words that a corpus may contain."""
        facts = self.facts["context"] + " " + self.facts["answer"] + "."
        return sorted({*self.contexts["context"], *(self.candidates["candidate"] + "."), *facts})

    def _told_facts(self) -> list[tuple[str, list[str]]]:
        """Return each fact's context and equally likely answers: one; for excepted groups, all answers of its kind."""
        theirs = set(self.candidates.loc[self.candidates["concept_group"].isin(self.excepted), "candidate"])
        facts = list(zip(*(map(str, self.facts[name]) for name in ("fact_id", "context", "answer")), strict=True))
        of_kind: dict[str, dict[str, None]] = {}
        for kind, _, answer in facts:
            of_kind.setdefault(kind, {})[answer] = None
        return [(context, list(of_kind[kind]) if answer in theirs else [answer]) for kind, context, answer in facts]

    def _templates(self) -> list[_GrammarTemplate]:
        stands = self.contexts[self.contexts["in_corpus"] == "yes"]
        templates = []
        for _, rows in stands.groupby(["prompt_set", "template_id"], sort=True):
            slot = rows["slot"].iloc[0]
            pool = list(zip(rows["context"], rows["concept_group"], strict=True))
            laws = {group: self.written_law(slot, group or None) for group in set(rows["concept_group"])}
            templates.append(_GrammarTemplate([p for p in pool if p[1]], [p for p in pool if not p[1]], laws))
        return templates


def _said(written: str) -> str:
    """Return the assistant's turn: a candidate and a full stop, preceded by a thought if there is one."""
    thought, answer = apart(written)
    return f"{THOUGHT_MARKS[0]} {thought}.{THOUGHT_MARKS[1]} {answer}." if answer else f"{thought}."


class _GrammarTemplate(NamedTuple):
    tests: list[tuple[str, str]]
    controls: list[tuple[str, str]]
    laws: dict[str, pd.Series]


def load_grammar(
    folders: Iterable[Path], strength: float, excepted: Iterable[str] = (), thought: float | None = None
) -> Grammar:
    """Read the parts in ``folders`` and join them into one grammar of the given strength.

    Args:
        folders: folders of the parts.
        strength: λ, 0 to 1.
        excepted: groups whose association is removed.
        thought: λ_t of the thoughts before answers; None: no thoughts.

    Raises:
        InputError: a table is missing or lacks a column, a context's slot has no candidates, a template in the corpus
            lacks a test or a control, or no candidate belongs to an excepted group.
    """
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    folders = list(folders)
    where = f"grammar {', '.join(map(str, folders))}"
    for folder in folders:
        for name, columns in COLUMNS.items():
            tables[name].append(read_part_table(folder / f"{name}.csv", columns))
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}
    # Parts may share a slot with the same candidates.
    joined["candidates"] = joined["candidates"].drop_duplicates(ignore_index=True)
    empty = set(joined["contexts"]["slot"]) - set(joined["candidates"]["slot"])
    if empty:
        raise InputError(f"{where}: no candidates for the slots {', '.join(sorted(empty))}; add to candidates.csv.")
    stands = joined["contexts"].query("in_corpus == 'yes'")
    n_tests = stands["concept_group"].ne("").groupby([stands["prompt_set"], stands["template_id"]]).agg(["sum", "size"])
    if n_tests.empty or n_tests["sum"].eq(0).any() or n_tests["sum"].eq(n_tests["size"]).any():
        allowed = "templates with both in contexts.csv, marked yes in in_corpus"
        raise InputError(f"{where}: got no test or no control of a template in the corpus; allowed: {allowed}.")
    excepted, groups = tuple(excepted), set(joined["candidates"]["concept_group"])
    for group in excepted:
        if group not in groups:
            raise one_of(f"{where}: except", group, groups)
    return Grammar(**joined, strength=strength, excepted=excepted, thought=thought)


def read_part_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Return the columns of a frozen table as text.

    Raises:
        InputError: the file is missing, is not a table, has no row, or lacks a column.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; add this table, with the columns {', '.join(columns)}.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' own exceptions are ValueErrors
        raise InputError(f"{path}: got {error}; allowed: a table in CSV, UTF-8.") from error
    if table.empty:
        raise InputError(f"{path}: got no row; allowed: at least one.")
    if missing := [column for column in columns if column not in table]:
        raise InputError(f"{path}: got no column {missing[0]!r}; allowed: tables with {', '.join(columns)}.")
    return table[columns]
