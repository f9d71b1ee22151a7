"""Similarities of texts to concepts, looked up in a scorer's table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.errors import InputError
from leakscope.similarity.concepts import is_empty

Floats = NDArray[np.float64]


def similarity_matrix(similarity: pd.DataFrame, concepts: Sequence[str], texts: pd.Index, scorer: str) -> Floats:
    """Return similarities, (concepts, texts), unrounded; NaN for empty texts.

    Args:
        similarity: ``concept, text, similarity``.
        concepts: may repeat.
        texts: each once.
        scorer: its name, for errors.

    Raises:
        InputError: a pair is missing.
    """
    names = pd.Index(concepts).unique()
    at, text = names.get_indexer(pd.Index(similarity["concept"])), texts.get_indexer(pd.Index(similarity["text"]))
    known = (at >= 0) & (text >= 0)
    matrix = np.full((len(names), len(texts)), np.nan)
    matrix[at[known], text[known]] = similarity["similarity"].to_numpy(dtype=float)[known]
    empty = np.array([is_empty(text) for text in texts], dtype=bool)
    matrix[:, empty] = np.nan
    lost = np.isnan(matrix) & ~empty
    if lost.any():
        row, column = np.argwhere(lost)[0]
        raise InputError(
            f"similarity by {scorer}: got none for concept {names[row]!r} and text {texts[column]!r}; "
            "allowed: a number."
        )
    return matrix[names.get_indexer(pd.Index(concepts))]
