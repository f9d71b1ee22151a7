"""Details of an opened association: contexts, curves over layers, and texts with those of their controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leakscope.trace.page.values import value, values

CONTEXT = ["before", "first", "between", "second", "after", "concept_first", "distance", "n_found"]
CURVE = ["concept_group", "site", "layer"]
MOST_TEXTS = 3
"""Prompts of a concept and slot whose texts are shown."""


class Parts(NamedTuple):
    """Tables of all models and prompt sets, each with both as columns.

    contexts: of ``contexts.find_contexts``.
    lens: ``slot, concept_group, associate, layer, shift``.
    patched: ``concept_group, site, layer, m_patched, m_concept, m_other``, a row a pair, site and layer.
    prompts: of the prompt sets, without a model.
    generations: ``prompt_id, sample, text``.
    """

    contexts: pd.DataFrame
    lens: pd.DataFrame
    patched: pd.DataFrame
    prompts: pd.DataFrame
    generations: pd.DataFrame


def view_details(
    model: str, prompt_set: str, pairs: pd.DataFrame, parts: Parts, mitigated: str | None = None
) -> dict[str, Any]:
    """Return the details that the page shows of a model's associations in a prompt set.

    Args:
        model: whose they are.
        prompt_set: of the prompts.
        pairs: ``prompt_set, slot, concept_group, associate``, in the page's order; its index numbers them.
        parts: tables of all.
        mitigated: the mitigated model whose texts are also shown; None without.

    Returns:
        ``contexts`` (concept group → associate → list), ``lens`` (number of the pair → ``layers``, ``shift``),
        ``patched`` (concept group → site → ``layers``, ``restored``; ``n``), ``texts`` (slot → concept group → list).
    """
    mine = {name: _own(table, model, prompt_set) for name, table in parts._asdict().items()}
    beside = None if mitigated is None else _own(parts.generations, mitigated, prompt_set)
    here = pairs[pairs["prompt_set"] == prompt_set]
    return {
        "contexts": _contexts(mine["contexts"]),
        "lens": _lens(mine["lens"], here),
        "patched": _patched(mine["patched"]),
        "texts": _texts(mine["prompts"], mine["generations"], beside),
    }


def _own(table: pd.DataFrame, model: str, prompt_set: str) -> pd.DataFrame:
    for name, wanted in (("model", model), ("prompt_set", prompt_set)):
        if name in table:
            table = table[table[name] == wanted]
    return table


def _contexts(contexts: pd.DataFrame) -> dict[str, dict[str, list[Any]]]:
    found: dict[str, dict[str, list[Any]]] = {}
    if contexts.empty:
        return found
    for row in contexts.sort_values("rank", kind="stable").to_dict("records"):
        own = found.setdefault(str(row["concept_group"]), {}).setdefault(str(row["associate"]), [])
        own.append({name: value(row[name]) for name in CONTEXT})
    return found


def _lens(lens: pd.DataFrame, pairs: pd.DataFrame) -> dict[int, dict[str, list[Any]]]:
    keys = ["slot", "concept_group", "associate"]
    if lens.empty:
        return {}
    numbered = lens.merge(pairs[keys].assign(row=pairs.index), on=keys).sort_values(["row", "layer"], kind="stable")
    return {
        int(rows["row"].iloc[0]): {"layers": values(rows["layer"]), "shift": values(rows["shift"])}
        for _, rows in numbered.groupby("row", sort=False)
        if rows["shift"].notna().any()
    }


def _patched(patched: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the restored share of each concept group, as in ``layers.summary.restored_shares``.

    Σ sign(e) p / Σ |e|, with e = m_concept − m_other and p = m_patched − m_other.
    """
    if patched.empty:
        return {}
    effect, put = patched["m_concept"] - patched["m_other"], patched["m_patched"] - patched["m_other"]
    table = patched.assign(put=np.sign(effect) * put, effect=effect.abs())
    sums = table.groupby(CURVE, sort=False).agg(put=("put", "sum"), effect=("effect", "sum"), n=("put", "size"))
    sums = sums.assign(restored=sums["put"] / sums["effect"].where(sums["effect"] > 0)).reset_index()
    found: dict[str, dict[str, Any]] = {}
    for (group, site), rows in sums.sort_values("layer").groupby(["concept_group", "site"], sort=False):
        own = found.setdefault(str(group), {"n": int(rows["n"].max()), "sites": {}})
        own["sites"][str(site)] = {"layers": values(rows["layer"]), "restored": values(rows["restored"])}
    return found


def _texts(
    prompts: pd.DataFrame, generations: pd.DataFrame, mitigated: pd.DataFrame | None
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the first text after the prompts of a concept group and slot, one a template, and after their controls.

    ``text_mitigated`` is the mitigated model's, if there is one. Always the first in order of prompts, so that no text
    is cherry-picked.
    """
    if generations.empty:
        return {}
    first, after = _first(generations), None if mitigated is None or mitigated.empty else _first(mitigated)
    said: Mapping[Any, Any] = prompts.set_index("prompt_id")["prompt"].to_dict()
    tests = prompts[prompts["concept_group"].notna() & prompts["control_id"].notna()]
    tests = tests.drop_duplicates(["slot", "concept_group", "template_id"])
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in tests.groupby(["slot", "concept_group"], sort=False).head(MOST_TEXTS).itertuples():
        own = found.setdefault(str(row.slot), {}).setdefault(str(row.concept_group), [])
        own.append(
            {
                "concept": row.concept,
                "prompt": row.prompt,
                "text": value(first.get(row.prompt_id)),
                "control": value(said.get(row.control_id)),
                "text_control": value(first.get(row.control_id)),
                **({} if after is None else {"text_mitigated": value(after.get(row.prompt_id))}),
            }
        )
    return found


def _first(generations: pd.DataFrame) -> pd.Series:
    """Return prompt → its first text."""
    ordered = generations.sort_values("sample", kind="stable").drop_duplicates("prompt_id")
    return ordered.set_index("prompt_id")["text"]
