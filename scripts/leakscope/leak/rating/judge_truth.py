"""Exact rates of an ideal judge that knows an organism's associations: the reference for judge models.

No similarity is used: the ideal judge knows only which candidates belong to which group of concepts. A text belongs to
a concept if its candidate does, and more so if both thought and answer do. The law of organisms' texts is known
exactly, so the rate is a finite sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.leak.known.exact_match import ExactMatches, pooled_match
from leakscope.leak.known.truth import KnownLaws
from leakscope.leak.measures.leak_rate import ROUNDING
from leakscope.models.thinking.measured import BETWEEN
from leakscope.organisms.thoughts import apart

KNOWN_COLUMNS = ["model", "prompt_set", "question", "exact_rate"]


class _ExactLeaks(ExactMatches):
    """Exact rates of the question ``leak``, with one concept c: s(c, x) against s(c, x′)."""

    def _table(self, concepts: tuple[str, ...], candidates: tuple[str, ...]) -> NDArray[np.float64]:
        scores = np.array([[self.similarity[concept, text + self.mark] for text in candidates] for concept in concepts])
        wins = np.sign(scores[:, :, None] - scores[:, None, :]) / 2 + 0.5
        return np.repeat(wins[:, None], len(concepts), axis=1)


QUESTIONS: Mapping[str, type[ExactMatches]] = {"match": ExactMatches, "leak": _ExactLeaks}


def exact_rates(laws: Sequence[KnownLaws], candidates: pd.DataFrame) -> pd.DataFrame:
    """Return ``KNOWN_COLUMNS``: percent of comparisons that an ideal judge decides right.

    Uses each organism's own law over its candidates; ½ if both texts, or neither, belong to the concept. NaN for a set
    with an unknown law in any unit.

    Args:
        laws: as ``truth.known_laws`` returns them.
        candidates: ``slot, candidate, concept_group`` of all sets.
    """
    groups = {str(name): set(of) for name, of in candidates.groupby("candidate", sort=False)["concept_group"]}
    rows = []
    for known in laws:
        concepts = known.prompts.dropna(subset=["concept"]).drop_duplicates(["concept", "concept_group"])
        belongs = {
            (str(concept), text + known.mark): float(sum(group in groups.get(part, ()) for part in _parts(text)))
            for concept, group in zip(concepts["concept"], concepts["concept_group"], strict=True)
            for text in dict.fromkeys(text for law in known.organism.values() for text in law)
        }
        for question, kind in QUESTIONS.items():
            units = kind(belongs, 0, known.mark).by_unit(known.prompts, known.organism)
            rows.append((known.model, known.prompt_set, question, pooled_match(units)))
    return pd.DataFrame(rows, columns=KNOWN_COLUMNS).round(ROUNDING)


def _parts(text: str) -> tuple[str, ...]:
    """Return the candidates of a text: thought and answer if it joins both, else one."""
    return apart(text) if BETWEEN in text else (text,)
