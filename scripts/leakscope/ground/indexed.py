"""Counts of an axis in a corpus behind an infini-gram server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.counting.infini_gram import Client, count_pairs, count_terms, count_tokens
from leakscope.counting.lexicons import read_concepts
from leakscope.counting.units import MENTIONS
from leakscope.ground.imported import COUNT_COLUMNS
from leakscope.ground.naming import Naming
from leakscope.statistics.intervals import garwood

Floats = NDArray[np.float64]
LIMITS = ["count_low", "count_high"]


class Indexed(NamedTuple):
    """Counts of pairs, counts of terms, and totals of an index."""

    counts: pd.DataFrame
    terms: pd.DataFrame
    totals: dict[str, int | str | None]


def count_by_index(
    client: Client,
    axis: str,
    lexicons: Mapping[str, str],
    naming: Naming,
    windows: Sequence[int],
    *,
    terms_per_clause: int,
    level: float,
) -> Indexed:
    """Return the counts of an axis in the index of an infini-gram server: pairs of mentions, windows in tokens.

    ``LIMITS`` of a count that was scaled up from a sample are the Poisson limits of the sampled count, scaled up; they
    are conservative (``infini_gram.count_pairs``). They are empty for exact counts.

    Args:
        client: client for the index.
        axis: name of the axis.
        lexicons: ``subjects`` and ``groups``, paths of the files.
        naming: naming rules of the axis.
        windows: in tokens.
        terms_per_clause: see ``infini_gram.count_pairs``.
        level: nominal coverage of the limits.
    """
    sides = {side: {c.id: c.terms for c in read_concepts(Path(path))} for side, path in sorted(lexicons.items())}
    pairs = count_pairs(sides["subjects"], sides["groups"], windows, client, terms_per_clause=terms_per_clause)
    terms = [count_terms(concepts, client).assign(side=side) for side, concepts in sides.items()]
    table = pairs.assign(axis=axis, unit=MENTIONS, count=pairs["mentions"], window=pairs["window"].astype("Int64"))
    table[LIMITS] = np.column_stack(_limits(pairs["mentions"].to_numpy(), pairs["scale"].to_numpy(), level))
    named = naming.apply(table, ["subject", "group", "window"], f"counts of {axis}")
    totals: dict[str, int | str | None] = {
        "tokens": count_tokens(client),
        "n_pairs": len(pairs),
        "n_approximate": int(pairs["approximate"].sum()),
        "store": client.folder,
    }
    columns = ["side", "concept", MENTIONS, "approximate"]
    return Indexed(named[[*COUNT_COLUMNS, *LIMITS]], pd.concat(terms, ignore_index=True)[columns], totals)


def _limits(counts: Floats, scales: Floats, level: float) -> tuple[Floats, Floats]:
    """Return the limits of counts that are ``scale`` times a sampled count; NaN where ``scale`` is 0."""
    sampled = np.where(scales > 0, scales, np.nan)
    low, high = garwood(np.nan_to_num(counts / sampled), level)
    return low * sampled, high * sampled
