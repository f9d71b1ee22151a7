"""Do dictionaries that differ only in their seed find the same features?

Compared by cosines of decoder rows, as in Paulo & Belrose 2025, "Sparse Autoencoders Trained on the Same Data Learn
Different Features" (arXiv:2501.16615).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

MATCHED_AT_MOST = 4096  # features; an assignment costs their cube
SHARED = 0.7  # cosine from which on a feature counts as found again
ROWS_AT_ONCE = 4096
CHANCE_SEED = 250116615  # of no dictionary: those of its seed begin with the directions that it draws


class Agreement(NamedTuple):
    """Tables: ``summary``, a row for every two dictionaries, and ``cosines``, one for every feature of each of them."""

    summary: pd.DataFrame
    cosines: pd.DataFrame


def compare_seeds(entries: Mapping[str, Mapping[str, Tensor]]) -> Agreement:
    """Compare the dictionaries of each entry with each other.

    Columns of ``cosines``: ``dictionary, other, feature``; ``nearest`` and ``cosine``, the feature of the other whose
    decoder row is nearest; ``partner`` and ``partner_cosine``, the one of a matching in which each feature has one
    (missing above ``MATCHED_AT_MOST`` features). Of ``summary``: ``entry, dictionary, other, n_features``; mean, median
    and the share from ``SHARED`` on of ``cosine`` in both directions, and of ``partner_cosine``; ``chance``, the mean
    that directions drawn at random would have.

    Args:
        entries: entry → name of a dictionary → its decoder [F, d]; one entry's have the same d.
    """
    summary: list[dict[str, object]] = []
    cosines: list[pd.DataFrame] = []
    for entry, decoders in entries.items():
        for one, other in combinations(decoders, 2):
            both = [_compare(decoders, one, other), _compare(decoders, other, one)]
            cosines += both
            near, partners = pd.concat(both)["cosine"], both[0]["partner_cosine"]
            row = {"entry": entry, "dictionary": one, "other": other, "n_features": len(both[0])}
            row |= {**_moments("cosine", near), **_moments("partner_cosine", partners)}
            summary.append({**row, "chance": _chance(decoders[other])})
    columns = ["dictionary", "other", "feature", "nearest", "cosine", "partner", "partner_cosine"]
    of_summary = [
        *("entry", "dictionary", "other", "n_features", "cosine_mean", "cosine_median", "cosine_shared"),
        *("partner_cosine_mean", "partner_cosine_median", "partner_cosine_shared", "chance"),
    ]
    tables = pd.concat(cosines, ignore_index=True) if cosines else pd.DataFrame(columns=columns)
    return Agreement(pd.DataFrame(summary, columns=of_summary), tables)


def _compare(decoders: Mapping[str, Tensor], one: str, other: str) -> pd.DataFrame:
    cosine, nearest = _nearest(decoders[one], decoders[other])
    n_features = len(decoders[one])
    partners = pd.array([None] * n_features, dtype="Int64")
    partner_cosines = np.full(n_features, np.nan)
    if max(n_features, len(decoders[other])) <= MATCHED_AT_MOST:
        cosines = (_unit(decoders[one]) @ _unit(decoders[other]).T).double().numpy()
        rows, matched = linear_sum_assignment(cosines, maximize=True)
        partners[rows], partner_cosines[rows] = matched, cosines[rows, matched]
    return pd.DataFrame(
        {
            "dictionary": one,
            "other": other,
            "feature": range(n_features),
            "nearest": nearest.numpy(),
            "cosine": cosine.numpy(),
            "partner": partners,
            "partner_cosine": partner_cosines,
        }
    )


def _nearest(decoder: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and number, [F] each, of the row of ``other`` that is nearest to each row of ``decoder``."""
    rows, target = _unit(decoder), _unit(other).T
    parts = [(rows[start : start + ROWS_AT_ONCE] @ target).max(dim=-1) for start in range(0, len(rows), ROWS_AT_ONCE)]
    return torch.cat([part.values for part in parts]).double(), torch.cat([part.indices for part in parts])


def _moments(name: str, values: pd.Series) -> dict[str, float]:
    known = values.dropna()
    shared = float((known >= SHARED).mean()) if len(known) else float("nan")
    return {f"{name}_mean": known.mean(), f"{name}_median": known.median(), f"{name}_shared": shared}


def _chance(decoder: Tensor) -> float:
    drawn = torch.randn(decoder.shape, generator=torch.Generator().manual_seed(CHANCE_SEED))
    return float(_nearest(drawn, decoder)[0].mean())


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.float(), dim=-1)
