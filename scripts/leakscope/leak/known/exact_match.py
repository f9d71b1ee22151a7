"""Exact match rates, without sampling, of texts with a known law over a finite set of candidates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.languages.closing_marks import FULL_STOP
from leakscope.leak.measures.matching import DIGITS
from leakscope.leak.pairs import tests_by_unit

Floats = NDArray[np.float64]

# Most cells of a win table that is cached for other models: 16 MB. Tables of pairs of thought and answer are larger.
MOST_KEPT = 2**22

Laws = Mapping[str, Mapping[str, float]]  # prompt_id → {candidate: probability}


class ExactMatches:
    """Exact match rates under one scorer; win tables of concepts and candidates are computed once for all models.

    Args:
        similarity: (concept, text) → similarity; a candidate's text is the candidate and ``mark``.
        decimals: to which similarities are rounded before comparison.
        mark: the full stop of the candidates' language.
    """

    def __init__(self, similarity: Mapping[tuple[str, str], float], decimals: int, mark: str = FULL_STOP) -> None:
        self.similarity, self.decimals, self.mark = similarity, decimals, mark
        self._wins: dict[tuple[tuple[str, ...], tuple[str, ...]], Floats] = {}

    def by_unit(self, prompts: pd.DataFrame, laws: Laws) -> pd.DataFrame:
        """Return ``category, n_groups, match`` (0 to 1) of each unit with partners.

        With x ~ L_c and x′ ~ L_c′ independent, V(c, c′) = Σ_x Σ_x′ L_c(x) L_c′(x′) ([D > 0] + ½ [D = 0]), and means as
        in ``matching``. Prompts of one concept have equal weights. NaN if the law of a prompt is unknown.

        Args:
            prompts: the prompts table of one set.
            laws: of its test prompts.
        """
        found = []
        for (category, _), tests in tests_by_unit(prompts).groupby(["category", "unit"], sort=False, dropna=False):
            names, concept = np.unique(tests["concept"].astype(str), return_inverse=True)
            first = tests.assign(place=concept).drop_duplicates("place").sort_values("place")
            group, groups = pd.factorize(first["concept_group"])
            if len(groups) < 2:
                continue
            of_tests = [laws.get(prompt_id) for prompt_id in tests["prompt_id"]]
            known = [law for law in of_tests if law is not None]
            value = self._match(tuple(names), concept, group, known) if len(known) == len(of_tests) else np.nan
            found.append({"category": category, "n_groups": len(groups), "match": value})
        return pd.DataFrame(found, columns=["category", "n_groups", "match"])

    def _match(
        self,
        concepts: tuple[str, ...],
        concept: NDArray[np.intp],
        group: NDArray[np.intp],
        laws: list[Mapping[str, float]],
    ) -> float:
        """Return match_u from the laws of the tests, ``concept`` being that of each."""
        candidates = tuple(dict.fromkeys(candidate for law in laws for candidate in law))
        law = np.zeros((len(concepts), len(candidates)))
        for place, of_prompt in zip(concept, laws, strict=True):
            law[place] += [of_prompt.get(candidate, 0.0) for candidate in candidates]
        law /= np.bincount(concept)[:, None]
        by_concept = np.einsum("cdk,dk->cd", np.einsum("ck,cdkl->cdl", law, self._table(concepts, candidates)), law)
        member = (np.arange(group.max() + 1)[:, None] == group) / np.bincount(group)[:, None]
        by_group = member @ by_concept @ member.T
        return float(by_group[~np.eye(len(by_group), dtype=bool)].mean())

    def _table(self, concepts: tuple[str, ...], candidates: tuple[str, ...]) -> Floats:
        """Return [D > 0] + ½ [D = 0], (concepts, concepts, candidates, candidates)."""
        key = (concepts, candidates)
        wins = self._wins.get(key)
        if wins is None:
            scores = np.array(
                [[self.similarity[concept, text + self.mark] for text in candidates] for concept in concepts]
            )
            scores = np.round(scores, self.decimals)
            advantage = scores[:, None] - scores[None, :]
            difference = np.round(advantage[..., None] - advantage[..., None, :], DIGITS)
            wins = np.sign(difference).astype(np.float32) / 2 + np.float32(0.5)
            if wins.size <= MOST_KEPT:
                self._wins[key] = wins
        return wins


def pooled_match(units: pd.DataFrame) -> float:
    """Return the match rate in percent of ``category, n_groups, match``; NaN if any unit is unknown, or without units.

    A rate over only some units is not the rate of the measured cell.
    """
    n = units["n_groups"].to_numpy(dtype=float)
    return 100 * float((n * units["match"].to_numpy(dtype=float)).sum() / n.sum()) if len(units) else np.nan
