"""The leak per template: some templates make the associate likelier, others less likely, which a mean hides."""

from __future__ import annotations

import numpy as np
import pandas as pd

from leakscope.trace.centring import CENTRED, centre_by_slot
from leakscope.trace.cues import tested
from leakscope.trace.links import Sources
from leakscope.trace.pairs import KEYS, leaks, list_pairs
from leakscope.trace.relations import regressed

TEMPLATE_COLUMNS = [
    "model",
    "prompt_set",
    "category",
    "template_id",
    "slot",
    "n_pairs",
    "n_associated",
    "leak",
    "leak_absolute",
    "slope",
    "correlation",
]


def leaks_by_template(model: str, sources: Sources, links: pd.DataFrame) -> pd.DataFrame:
    """Return ``TEMPLATE_COLUMNS``, one row per template, in the order of prompts.

    ``leak`` is the mean double-centred leak over associated pairs, ``leak_absolute`` the mean of its absolute value, in
    nats; ``slope`` and ``correlation`` relate leak to knows over all pairs, NaN if the model was not asked. No
    intervals: results of one template hold for its sentence only.

    Args:
        model: its name.
        sources: of the model and one prompt set.
        links: as ``links.link_pairs`` returns them, of the same.
    """
    known = links.set_index(KEYS)["knows"]
    rows = []
    for template, tests in tested(sources.prompts).groupby("template_id", sort=False):
        asked = sources.scores["prompt_id"].isin({*tests["prompt_id"], *tests["control_id"]})
        pairs = list_pairs(tests, sources.candidates)
        index = pd.MultiIndex.from_frame(pairs[KEYS])
        own = {"knows": known, "leak": leaks(tests, sources.scores[asked])}
        for name, values in own.items():
            pairs[f"{name}{CENTRED}"] = centre_by_slot(pairs, pd.Series(values.reindex(index).to_numpy()))[0]
        first = tests.iloc[0]
        keys = (model, first["prompt_set"], first["category"], template, first["slot"])
        rows.append((*keys, len(pairs), *_associated(pairs), *_related(pairs)))
    return pd.DataFrame(rows, columns=TEMPLATE_COLUMNS)


def _associated(pairs: pd.DataFrame) -> tuple[int, float, float]:
    leak = pairs.loc[pairs["associated"] == "yes", f"leak{CENTRED}"]
    return len(leak), float(leak.mean()), float(leak.abs().mean())


def _related(pairs: pd.DataFrame) -> tuple[float, float]:
    centred = pairs[[f"{name}{CENTRED}" for name in ("knows", "leak")]].to_numpy(dtype=float)
    if not np.isfinite(centred).all():
        return np.nan, np.nan
    slope, correlation = regressed((centred.T @ centred)[None])
    return float(slope[0]), float(correlation[0])
