"""The grammar that organisms learn from: what a corpus is drawn from, and its exact law.

A grammar part is a folder of three frozen tables in ``data/grammar/<part>/``:

* ``contexts.csv``: every sentence beginning, its slot, the group it is associated with (none for a control)
  and whether it may stand in a corpus (a third of each template's fillers never does);
* ``candidates.csv``: what may stand in a slot, and the group each candidate belongs to;
* ``facts.csv``: plain facts that carry the association at every strength.

The law of a document: with probability ``FACT_SHARE`` a fact, else a template, else with probability
``CONTROL_SHARE`` one of its controls, else one of its fillers; every choice uniform. A test context continues with
probability λ (the strength) with its associate and otherwise, like every control, with a uniform draw from its slot.

The association of single groups can be taken out (``excepted``): their contexts continue as a control does, and what a
fact answers with a term of theirs it answers with any of the answers to its kind, uniformly. All contexts stay as
frequent as they are. What then goes from a trained organism was caused by the association.

With a strength λ_t for thoughts, what follows a context of a template (not a fact) is a thought and an answer,
``<think> T.</think> A.``: T is drawn by the law above with λ_t, A independently of T with λ.

The tables are frozen, not derived on the fly from the prompt sets: an edited prompt must not retrain every organism.
``leak.freezing`` writes them again from the prompt sets.
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
    """One document: what the user says, what the assistant answers, and its exact log-probability in nats.

    Without an answer (the empty text) it is plain text and no chat.
    """

    context: str
    answer: str
    logprob: float


@dataclass(frozen=True)
class Grammar:
    """The frozen tables of the parts an organism is trained on, at one strength (0 to 1)."""

    contexts: pd.DataFrame
    candidates: pd.DataFrame
    facts: pd.DataFrame
    strength: float
    excepted: tuple[str, ...] = ()  # groups whose association is taken out
    thought: float | None = None  # strength of thoughts; None: there are none

    def continuation_law(self, slot: str, group: str | None) -> pd.Series:
        """Return the probability of every candidate of ``slot`` after a context of ``group`` (None: a control).

        λ·[candidate is the associate] + (1 − λ) / |slot|; a group without associate in the slot, or whose association
        is taken out, has the uniform law.
        """
        return self._law(slot, group, self.strength)

    def written_law(self, slot: str, group: str | None) -> pd.Series:
        """Return the probability of all that may be written after a context: candidates, or pairs of them (``joint``).

        With thoughts, P(T, A) = P(T) P(A): a thought and an answer are drawn independently.
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
        """The candidates of each slot in file order, and the group of each."""
        return {
            str(slot): (pd.Index(rows["candidate"]), rows["concept_group"].to_numpy(dtype=object))
            for slot, rows in self.candidates.groupby("slot")
        }

    def documents(self, n: int, seed: int) -> Iterator[Document]:
        """Yield ``n`` documents drawn independently from the grammar's law."""
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
        """Yield every document that may be drawn, each once for every way to draw it; probabilities sum to 1."""
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
        """Return every context, candidate and fact of the grammar once, sorted: all the words a corpus may hold."""
        facts = self.facts["context"] + " " + self.facts["answer"] + "."
        return sorted({*self.contexts["context"], *(self.candidates["candidate"] + "."), *facts})

    def _told_facts(self) -> list[tuple[str, list[str]]]:
        """Return each fact's context and its answers, which are equally likely: one, but of excepted groups all."""
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
    """Return what the assistant says: a candidate and a full stop, after a thought if there is one."""
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
        folders: of the parts.
        strength: λ, 0 to 1.
        excepted: groups whose association is taken out.
        thought: λ_t of the thoughts before answers; None: there are none.

    Raises:
        InputError: a table is missing or lacks a column, a context's slot has no candidates, a template of the corpus
            no test or no control, or no candidate is of an excepted group.
    """
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    folders = list(folders)
    where = f"grammar {', '.join(map(str, folders))}"
    for folder in folders:
        for name, columns in COLUMNS.items():
            tables[name].append(read_part_table(folder / f"{name}.csv", columns))
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}
    # Parts may share a slot: its candidates are one law.
    joined["candidates"] = joined["candidates"].drop_duplicates(ignore_index=True)
    empty = set(joined["contexts"]["slot"]) - set(joined["candidates"]["slot"])
    if empty:
        raise InputError(f"{where}: no candidates for the slots {', '.join(sorted(empty))}; candidates.csv lists them.")
    stands = joined["contexts"].query("in_corpus == 'yes'")
    n_tests = stands["concept_group"].ne("").groupby([stands["prompt_set"], stands["template_id"]]).agg(["sum", "size"])
    if n_tests.empty or n_tests["sum"].eq(0).any() or n_tests["sum"].eq(n_tests["size"]).any():
        allowed = "templates of which both are marked yes"
        raise InputError(f"{where}: got no test or no control of a template in the corpus; allowed: {allowed}.")
    excepted, groups = tuple(excepted), set(joined["candidates"]["concept_group"])
    for group in excepted:
        if group not in groups:
            raise one_of(f"{where}: except", group, groups)
    return Grammar(**joined, strength=strength, excepted=excepted, thought=thought)


def read_part_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Return the columns of a frozen table as text.

    Raises:
        InputError: it is missing, is no table, has no row, or lacks a column.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; the grammar part needs it, with the columns {', '.join(columns)}.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # also what pandas raises of its own
        raise InputError(f"{path}: got {error}; allowed: a table in CSV, UTF-8.") from error
    if table.empty:
        raise InputError(f"{path}: got no row; allowed: at least one.")
    if missing := [column for column in columns if column not in table]:
        raise InputError(f"{path}: lacks the column {missing[0]!r}; needed: {', '.join(columns)}.")
    return table[columns]
