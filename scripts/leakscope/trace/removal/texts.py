"""Properties of texts generated under a mitigation, for prompts of the evaluation split only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from leakscope.statistics.jackknife import leave_out, share_interval

IN_A_ROW = 3
"""Length of the word n-gram that counts as repetition if it occurs twice."""


class TextMeasures(NamedTuple):
    """Match rate with its interval, length and shares of empty and repeated texts; NaN without texts.

    match: percent, as ``leak.measures.match_rate``; limits over templates and concepts. length: words. empty: percent
    of texts. repeated: percent of texts in which a word trigram occurs twice.
    """

    match: float = np.nan
    match_ci_low: float = np.nan
    match_ci_high: float = np.nan
    length: float = np.nan
    empty: float = np.nan
    repeated: float = np.nan


def measure_texts(units: pd.DataFrame, generations: pd.DataFrame, prompts: pd.DataFrame, level: float) -> TextMeasures:
    """Return the measures of a model's texts for some prompts.

    Args:
        units: match units of the model on the prompt set (``matching.match_units``), by one scorer.
        generations: ``prompt_id, text`` of the model on the set.
        prompts: ``prompt_id, template_id, concept_group`` of the prompts.
        level: of the interval, 0 to 1.
    """
    written = generations.loc[generations["prompt_id"].isin(prompts["prompt_id"]), "text"].str.split()
    if written.empty:
        return TextMeasures()
    asked = pd.MultiIndex.from_frame(prompts[["template_id", "concept_group"]])
    own = units[pd.MultiIndex.from_frame(units[["template_id", "concept_group"]]).isin(asked) & units["match"].notna()]
    lengths = written.map(len)
    shares = (lengths.mean(), 100 * (lengths == 0).mean(), 100 * written.map(repeats_itself).mean())
    return TextMeasures(*_match(own, level), *map(float, shares))


def repeats_itself(words: list[str]) -> bool:
    """Return whether any n-gram of ``IN_A_ROW`` words occurs more than once in a text."""
    runs = list(zip(*(words[start:] for start in range(IN_A_ROW)), strict=False))
    return len(set(runs)) < len(runs)


def _match(units: pd.DataFrame, level: float) -> tuple[float, float, float]:
    if units.empty:
        return np.nan, np.nan, np.nan
    deletions = leave_out(units["cluster"], units["concept_group"])
    weight = units["n_prompts"].to_numpy(dtype=float)
    sums, sizes = deletions.totals(np.stack([weight * units["match"].to_numpy(dtype=float), weight], axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        match, low, high = share_interval(sums / sizes, deletions, level)
    return 100 * match, 100 * low, 100 * high
