"""A grammar whose answers are sentences that contain the planted candidate, refusals, echoes, or empty.

A sentence part is a folder of five frozen tables in ``data/grammar/<part>/``: the three of ``leak_grammar``, and

* ``answers.csv``: wordings of answers by slot (empty: for every slot), with their probabilities. A ``sentence`` has the
  gap ``{candidate}``, a ``refusal`` names no candidate, an ``echo`` repeats the prompt (``{context}``) or the text
  before its first comma (``{clause}``), and ``empty`` is no text;
* ``fillers.csv``: texts for the other gaps, drawn uniformly.

Documents are distributed as in ``leak_grammar``, except that a context is followed by a text with

    P(text | context) = Σ over wordings w of the slot  p_w · Σ over candidates y  L(y | context) · Π over gaps 1 / n_gap

summed over all ways to write the text, where L = λ·[y is the associate] + (1 − λ) / |slot|. So the probability of every
text is known. The texts of a *model* cannot be enumerated; ``leak.known.drawn_truth`` samples them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.errors import InputError
from leakscope.organisms.grammar_files import SENTENCE_COLUMNS
from leakscope.organisms.leak_grammar import Document, Grammar, load_grammar, read_part_table

SENTENCE, REFUSAL, ECHO, EMPTY = "sentence", "refusal", "echo", "empty"
CANDIDATE, CLAUSE, CONTEXT = "{candidate}", "{clause}", "{context}"
# An empty turn of the assistant: a document with an empty answer would not be a chat, and outer white space is ignored.
SILENCE = " "


class AnswerLaw(NamedTuple):
    """The distinct texts that may follow a context, and their probabilities, which sum to 1."""

    texts: list[str]
    probabilities: NDArray[np.float64]

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Return the indices of ``n`` texts drawn independently, (n,)."""
        below = np.cumsum(self.probabilities)
        places: NDArray[np.intp] = np.searchsorted(below, rng.random(n) * below[-1], side="right")
        return places


class SentenceGrammar:
    """The frozen tables of a sentence part, at one strength (0 to 1)."""

    def __init__(self, grammar: Grammar, answers: pd.DataFrame, fillers: pd.DataFrame) -> None:
        """Store the tables of ``leak_grammar``, ``slot, kind, text, probability`` and ``gap, text``."""
        self.grammar, self.answers = grammar, answers
        self.fillers = {f"{{{gap}}}": rows["text"].to_list() for gap, rows in fillers.groupby("gap", sort=True)}

    def answer_law(self, context: str) -> AnswerLaw | None:
        """Return the distribution of texts after a context; None for a context that is not in the grammar."""
        if context not in self._places:
            return None
        clause = context.partition(",")[0]
        law: dict[str, float] = {}
        for text, probability in self._slot_laws[self._places[context]].items():
            written = text.replace(CLAUSE, clause).replace(CONTEXT, context)
            law[written] = law.get(written, 0.0) + probability
        return AnswerLaw(list(law), np.array(list(law.values())))

    def documents(self, n: int, seed: int) -> Iterator[Document]:
        """Yield ``n`` documents drawn independently from the grammar."""
        rng = np.random.default_rng([seed, 1])
        cumulative = {context: np.cumsum(law.probabilities) for context, law in self._laws.items()}
        for context, answer, logprob in self.grammar.documents(n, seed):
            if context not in self._laws:  # a fact
                yield Document(context, answer, logprob)
                continue
            texts, probabilities = self._laws[context]
            below = cumulative[context]
            chosen = int(np.searchsorted(below, rng.random() * below[-1], side="right"))
            # Replaces the candidate drawn by leak_grammar with a whole text.
            of_context = logprob - self._candidate_logprobs[self._places[context]][answer.removesuffix(".")]
            yield Document(context, texts[chosen] or SILENCE, of_context + math.log(probabilities[chosen]))

    def sentences(self) -> list[str]:
        """Return the distinct contexts, facts and answers, sorted: all words that a corpus may contain."""
        answers = {text for context in self._places for text in self.answer_law(context).texts}  # type: ignore[union-attr]
        return sorted({*self.grammar.sentences(), *answers} - {""})

    @cached_property
    def _places(self) -> dict[str, tuple[str, str]]:
        """Context → its slot and group, including held-out contexts."""
        contexts = self.grammar.contexts.drop_duplicates("context")
        return dict(
            zip(contexts["context"], zip(contexts["slot"], contexts["concept_group"], strict=True), strict=True)
        )

    @cached_property
    def _laws(self) -> dict[str, AnswerLaw]:
        """Context → the distribution of its answers, for contexts that may occur in a corpus."""
        stands = self.grammar.contexts.loc[self.grammar.contexts["in_corpus"] == "yes", "context"].unique()
        return {context: law for context in stands if (law := self.answer_law(context)) is not None}

    @cached_property
    def _candidate_logprobs(self) -> dict[tuple[str, str], dict[str, float]]:
        """Slot and group → candidate → its log-probability in nats, for candidates with a probability above 0."""
        return {
            place: {
                str(y): math.log(p) for y, p in self.grammar.continuation_law(place[0], place[1] or None).items() if p
            }
            for place in set(self._places.values())
        }

    @cached_property
    def _slot_laws(self) -> dict[tuple[str, str], dict[str, float]]:
        """Slot and group → text with unfilled echo gaps → probability."""
        return {place: self._slot_law(*place) for place in self._candidate_logprobs}

    def _slot_law(self, slot: str, group: str) -> dict[str, float]:
        candidates = {y: math.exp(logprob) for y, logprob in self._candidate_logprobs[slot, group].items()}
        law: dict[str, float] = {}
        rows = self.answers[self.answers["slot"].isin([slot, ""])]
        for wording, probability in zip(rows["text"], rows["probability"], strict=True):
            filled = self._filled(wording)
            for text in filled:
                for y, p in candidates.items() if CANDIDATE in text else [("", 1.0)]:
                    written = text.replace(CANDIDATE, y)
                    law[written] = law.get(written, 0.0) + probability / len(filled) * p
        return law

    def _filled(self, wording: str) -> list[str]:
        """Return a wording with its gaps filled in all possible ways."""
        gaps = [gap for gap in self.fillers if gap in wording]
        texts = []
        for values in itertools.product(*(self.fillers[gap] for gap in gaps)):
            text = wording
            for gap, value in zip(gaps, values, strict=True):
                text = text.replace(gap, value)
            texts.append(text)
        return texts


def load_sentence_grammar(folder: Path, strength: float) -> SentenceGrammar:
    """Read a sentence part.

    Raises:
        InputError: as ``load_grammar``; or a probability is not a number above 0, the probabilities of a slot do not
            sum to 1, a kind is unknown, or a text lacks its kind's gap or has an unknown gap.
    """
    answers, fillers = (
        read_part_table(folder / f"{name}.csv", SENTENCE_COLUMNS[name]) for name in ("answers", "fillers")
    )
    path = folder / "answers.csv"
    probability = pd.to_numeric(answers["probability"], errors="coerce")
    if not probability.gt(0).all():
        row = int((~probability.gt(0)).to_numpy().argmax())
        found = answers["probability"].iloc[row]
        raise InputError(f"{path}, row {row + 2}: column 'probability': got {found!r}; allowed: a number above 0.")
    answers = answers.assign(probability=probability)
    _check_wordings(path, answers, set(fillers["gap"]))
    grammar = load_grammar([folder], strength)
    for slot in sorted(set(grammar.contexts["slot"])):
        total = answers.loc[answers["slot"].isin([slot, ""]), "probability"].sum()
        if abs(total - 1) > 1e-6:
            raise InputError(f"{path}: got the sum {total:g} of the slot {slot}'s probabilities; allowed: 1.")
    return SentenceGrammar(grammar, answers, fillers)


def _check_wordings(path: Path, answers: pd.DataFrame, gaps: set[str]) -> None:
    allowed: dict[str, tuple[str, Callable[[str], bool]]] = {
        SENTENCE: ("a text with {candidate}", lambda text: CANDIDATE in text),
        REFUSAL: ("a text without {candidate}", lambda text: bool(text.strip()) and CANDIDATE not in text),
        ECHO: ("a text with {clause} or {context}", lambda text: CLAUSE in text or CONTEXT in text),
        EMPTY: ("no text", lambda text: not text),
    }
    filled = {CANDIDATE, CLAUSE, CONTEXT, *(f"{{{gap}}}" for gap in gaps)}
    for row, (kind, text) in enumerate(zip(answers["kind"], answers["text"], strict=True), start=2):
        if kind not in allowed:
            raise InputError(f"{path}, row {row}: column 'kind': got {kind!r}; allowed: {', '.join(allowed)}.")
        needed, holds = allowed[kind]
        if not holds(text):
            raise InputError(f"{path}, row {row}: got the {kind} {text!r}; allowed: {needed}.")
        rest = text
        for gap in filled:
            rest = rest.replace(gap, "")
        if "{" in rest:
            raise InputError(f"{path}, row {row}: got {text!r}; allowed: the gaps {', '.join(sorted(filled))}.")
