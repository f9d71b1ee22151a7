"""Summaries of patching: restored shares by site and layer, and the pairs on which they were measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from leakscope.files.names import POOLED
from leakscope.statistics.intervals import FEW
from leakscope.statistics.jackknife import Floats, leave_out, means, t_interval
from leakscope.trace.layers.columns import COUNT_COLUMNS

RESTORED_COLUMNS = [
    "model", "prompt_set", "site", "layer", "restored", "ci_low", "ci_high", "median", "n_pairs", "n_templates", "few",
]  # fmt: skip
CATEGORY_COLUMNS = [*RESTORED_COLUMNS[:2], "category", *RESTORED_COLUMNS[2:]]
PAIR_COLUMNS = [
    "model", "prompt_set", "category", "template_id", *COUNT_COLUMNS[1:], "effect", "effect_low", "effect_high",
    "effect_size", "n_against",
]  # fmt: skip


def restored_shares(patched: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return ``RESTORED_COLUMNS``: a row per model, prompt set, site and layer.

    With the effect e = m_c − m_c′ of a pair's concepts, and p = m_patched − m_c′:

        restored = Σ sign(e) p / Σ |e|,    median = median of p / e

    ``restored`` is the mean of the pairs' shares p / e, weighted by |e|: pairs with e near 0, whose shares are noise,
    hardly count, without a threshold. A template that avoids the concept (e < 0) counts like one that repeats it. The
    interval generalises over templates and groups of c: ``jackknife.t_interval``, two-way with four groups or more.

    Args:
        patched: as ``patching.patch_prompts`` returns it, of any models and prompt sets.
        level: of the interval, 0 to 1.
    """
    rows = []
    for keys, table in patched.groupby(["model", "prompt_set", "site", "layer"], sort=False):
        effect, put = table["m_concept"] - table["m_other"], table["m_patched"] - table["m_other"]
        deletions = leave_out(table["template_id"], table["concept_group"])
        totals = deletions.totals(np.stack([np.sign(effect) * put, effect.abs()], axis=1))
        with np.errstate(divide="ignore", invalid="ignore"):
            interval = t_interval(totals[0] / totals[1], deletions, level)
            median = float(np.nanmedian(put / effect))
        n_templates = table["template_id"].nunique()
        rows.append((*keys, *interval, median, len(table), n_templates, "yes" if n_templates < FEW else "no"))
    return pd.DataFrame(rows, columns=RESTORED_COLUMNS)


def restored_by_category(patched: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return ``CATEGORY_COLUMNS``: ``restored_shares`` of the templates of each category."""
    parts = [
        restored_shares(table, level).assign(category=category)
        for category, table in patched.groupby("category", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)[CATEGORY_COLUMNS] if parts else pd.DataFrame(columns=CATEGORY_COLUMNS)


def pair_counts(
    patched: Sequence[pd.DataFrame], counts: Sequence[pd.DataFrame], names: Sequence[Sequence[str]], level: float
) -> pd.DataFrame:
    """Return ``PAIR_COLUMNS``: a row per model, prompt set and template, preceded by one for all templates.

    ``effect`` is the mean of m_c − m_c′ in logits, negative if a template avoids the concept, and ``effect_size`` the
    mean of its absolute value; ``n_against`` counts negative pairs. Intervals as in ``restored_shares``; for one
    template, over groups of c.

    Args:
        patched: of each model and prompt set.
        counts: of each, ``columns.COUNT_COLUMNS``.
        names: model and prompt set of each.
        level: of the interval, 0 to 1.
    """
    rows: list[tuple[object, ...]] = []
    for table, counted, about in zip(patched, counts, names, strict=True):
        pairs = table.drop_duplicates(["template_id", "concept", "other"])
        totals = [int(counted[column].sum()) for column in COUNT_COLUMNS[1:]]
        rows.append((*about, POOLED, POOLED, *totals, *_effect(pairs, "template_id", "concept_group", level)))
        rows += [(*about, *row) for row in _of_templates(pairs, counted, level)]
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def _of_templates(pairs: pd.DataFrame, counts: pd.DataFrame, level: float) -> Iterator[tuple[object, ...]]:
    for template_id, *numbers in counts[COUNT_COLUMNS].itertuples(index=False):
        mine = pairs[pairs["template_id"] == template_id]
        category = mine["category"].iloc[0] if len(mine) else None
        yield (category, template_id, *numbers, *_effect(mine, "concept_group", None, level))


def _effect(pairs: pd.DataFrame, cluster: str, crossed: str | None, level: float) -> tuple[float, ...]:
    """Return mean effect, its limits, mean absolute effect and the number of pairs below 0; NaN without pairs."""
    effect = (pairs["m_concept"] - pairs["m_other"]).to_numpy(dtype=float)
    if not len(effect):
        return (np.nan, np.nan, np.nan, np.nan, 0)
    deletions = leave_out(pairs[cluster], None if crossed is None else pairs[crossed])
    values: Floats = means(effect, deletions)
    return (*t_interval(values, deletions, level), float(np.abs(effect).mean()), int((effect < 0).sum()))
