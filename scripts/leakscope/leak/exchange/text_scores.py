"""What each scorer says of a text by itself: its similarity with its concept, and how often it is told apart."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

KEYS = ["prompt_id", "sample"]


def text_scores(
    prompts: pd.DataFrame, texts: pd.DataFrame, similarity: Mapping[str, pd.DataFrame], matches: pd.DataFrame
) -> pd.DataFrame:
    """Return ``scorer, prompt_id, sample, similarity, match`` of the texts of test prompts.

    Args:
        prompts: of one prompt set.
        texts: of one model on it.
        similarity: scorer → ``concept, text, similarity``.
        matches: of this model, as ``matching.match_texts`` returns them; a text without partners has none.
    """
    of_tests = texts[[*KEYS, "text"]].merge(prompts.loc[prompts["concept"].notna(), ["prompt_id", "concept"]])
    parts = []
    for scorer, known in similarity.items():
        part = of_tests.merge(known[["concept", "text", "similarity"]], on=["concept", "text"], how="left")
        own = matches.loc[matches["scorer"] == scorer, [*KEYS, "match"]]
        parts.append(part.merge(own, on=KEYS, how="left", validate="one_to_one").assign(scorer=scorer))
    return pd.concat(parts, ignore_index=True)[["scorer", *KEYS, "similarity", "match"]]
