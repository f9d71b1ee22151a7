"""The table of links: one row per model and pair, and the reasons for empty links."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from leakscope.counting.units import DOCUMENTS
from leakscope.organisms.leak_grammar import Grammar
from leakscope.trace import exact
from leakscope.trace.centring import CENTRED, centre_by_slot
from leakscope.trace.counted import COUNT_COLUMNS, Counted, PairLexicons, count_pairs
from leakscope.trace.cues import AFFIRMS, KNOWS, tested
from leakscope.trace.features import named_features
from leakscope.trace.pairs import KEYS, PAIR, affirmed, knowledge, leaks, list_pairs

MEASURES = ("count", "knows", "affirms", "leak", "count_exact", "leak_exact")
"""Links that are double-centred."""
LINK_COLUMNS = [
    "model",
    *PAIR,
    "associated",
    "n_prompts",
    *COUNT_COLUMNS,
    "knows",
    "affirms",
    "leak",
    "match",
    "layer_half",
    "feature",
    "feature_effect",
    "count_exact",
    "leak_exact",
    *(f"{name}{CENTRED}" for name in MEASURES),
]
EMPTY_COLUMNS = ["model", "prompt_set", "link", "reason"]
VARIANCE = "count_exact_variance"
"""Variance of log(n_ca + ½) in corpora of the organism's size; used in relations, written to no file."""
HALF_OF_LAST = 0.5


class Sources(NamedTuple):
    """The data on a model and prompt set; None if the study lacks them.

    prompts: the prompts table of the set. candidates: ``slot, candidate, concept_group``. scores: exact
    log-probabilities of the candidates. cues: as ``cues.build_cues`` returns them. cue_scores: of this model. counted:
    counts in the model's corpus or another one. match: ``category, concept_group, concept, n_units, match_rate`` of
    this model and set by one scorer. lens: ``slot, concept_group, associate, layer, shift`` of this model and set.
    grammar: of an organism's corpus. ablated: ``layers.columns.ABLATED_COLUMNS`` of all dictionaries of this model, on
    this set.
    """

    prompts: pd.DataFrame
    candidates: pd.DataFrame
    scores: pd.DataFrame
    cues: pd.DataFrame | None = None
    cue_scores: pd.DataFrame | None = None
    counted: Counted | None = None
    match: pd.DataFrame | None = None
    lens: pd.DataFrame | None = None
    grammar: Grammar | None = None
    ablated: pd.DataFrame | None = None


class Links(NamedTuple):
    """``LINK_COLUMNS`` with ``VARIANCE``, and ``EMPTY_COLUMNS``."""

    table: pd.DataFrame
    empty: pd.DataFrame


def link_pairs(model: str, sources: Sources) -> Links:
    """Return every link of a model's pairs, its double-centred value, and the reasons for links without data.

    Args:
        model: its name.
        sources: of the model and one prompt set.

    Raises:
        InputError: as ``counted.count_pairs``.
    """
    pairs = list_pairs(sources.prompts, sources.candidates)
    index = pd.MultiIndex.from_frame(pairs[KEYS])
    empty: list[tuple[str, str]] = []
    table = pairs.assign(
        model=model,
        leak=_in_order(leaks(sources.prompts, sources.scores), index),
        match=_matches(sources, pairs, empty),
        layer_half=_in_order(_half_layers(sources, pairs, empty), index),
        **{name: _in_order(values, index) for name, values in _cued(sources, empty).items()},
    )
    if sources.ablated is None:
        empty.append(("feature", "the study has no dictionary of this model"))
    table = table.join(named_features(sources.ablated), on=KEYS)
    base = _counts(sources, pairs, empty) | _exact(sources, pairs, empty)
    table = table.assign(**base)
    table = table.assign(**_centred(table, empty))
    reasons = pd.DataFrame([(model, pairs["prompt_set"].iloc[0], *row) for row in empty], columns=EMPTY_COLUMNS)
    return Links(table[[*LINK_COLUMNS, VARIANCE]], reasons)


def _in_order(values: pd.Series, index: pd.MultiIndex) -> pd.Series:
    return pd.Series(values.reindex(index).to_numpy(dtype=float))


def _cued(sources: Sources, empty: list[tuple[str, str]]) -> dict[str, pd.Series]:
    """Return ``knows`` and ``affirms``."""
    none = pd.Series(index=pd.MultiIndex.from_tuples([], names=KEYS), dtype=float)
    if sources.cues is None or sources.cue_scores is None:
        empty += [(link, "the prompt set has no file of cues") for link in (KNOWS, AFFIRMS)]
        return {KNOWS: none, AFFIRMS: none}
    asked = set(sources.cue_scores["prompt_id"])
    found = {}
    for link, measure in ((KNOWS, knowledge), (AFFIRMS, affirmed)):
        written = sources.cues.loc[sources.cues["kind"] == link, "prompt_id"]
        found[link] = measure(sources.cues, sources.cue_scores) if asked.intersection(written) else none
        if written.empty:
            empty.append((link, "the file of cues has none of this kind"))
        elif not asked.intersection(written):
            organism = "an organism has read no question, and cannot say yes"
            empty.append((link, organism if sources.grammar else "no question was put to the model"))
    return found


def _counts(sources: Sources, pairs: pd.DataFrame, empty: list[tuple[str, str]]) -> dict[str, pd.Series]:
    """Return ``COUNT_COLUMNS``, and ``log_n_ca`` for their centring."""
    if sources.counted is None:
        empty.append(("count", "no corpus was counted for this model and prompt set"))
        return dict.fromkeys([*COUNT_COLUMNS, "log_n_ca"], pd.Series(np.nan, pairs.index, dtype=float))
    counts = count_pairs(pairs, sources.counted)
    if counts["n_ca"].notna().any() and counts["count"].isna().all():
        unknown = "single terms were not counted" if sources.counted.terms is None else "a term is never mentioned"
        reason = f"{unknown}; its centred value, which is the same without them, is there"
        empty.append(("count", reason))
    missing = (
        pairs.loc[~_is_counted(sources.counted.lexicons, pairs)].groupby("slot", sort=False)["associate"].nunique()
    )
    for slot, n in missing.items():
        empty.append(("count", f"slot {slot}: {n} associates are terms of concepts, and are not counted apart"))
    return {str(name): values for name, values in counts.items()}


def _is_counted(lexicons: PairLexicons, pairs: pd.DataFrame) -> pd.Series:
    """Return which pairs have a counted concept and associate; associates that are also concepts are not counted."""
    return pairs["concept_group"].isin(lexicons.concept_terms) & pairs["associate"].isin(lexicons.associate_terms)


def _matches(sources: Sources, pairs: pd.DataFrame, empty: list[tuple[str, str]]) -> pd.Series:
    """Return the match rate of the concept group in the categories of the slot, in percent, mean over its concepts.

    It belongs to the concept, not to the pair: the same for all associates of a slot.
    """
    rates = sources.match
    if rates is None or rates["match_rate"].isna().all():
        empty.append(("match", "the study has no match rate of this model and prompt set"))
        return pd.Series(np.nan, pairs.index)
    tests = tested(sources.prompts)
    slots = tests.assign(category=tests["category"].fillna(""))[["slot", "category", "concept_group"]].drop_duplicates()
    own = rates.assign(category=rates["category"].fillna("")).dropna(subset=["match_rate"])
    joined = slots.merge(own, on=["category", "concept_group"])
    joined["weighted"] = joined["match_rate"] * joined["n_units"]
    sums = joined.groupby(["slot", "concept_group"])[["weighted", "n_units"]].sum()
    means = sums["weighted"] / sums["n_units"]
    return pd.Series(means.reindex(pd.MultiIndex.from_frame(pairs[KEYS[:2]])).to_numpy(), pairs.index)


def _half_layers(sources: Sources, pairs: pd.DataFrame, empty: list[tuple[str, str]]) -> pd.Series:
    """Return ``KEYS`` → first layer from which the lens shift stays at or above half of the last layer's.

    Only for associated pairs whose concept makes the associate likelier in the last layer.
    """
    none = pd.Series(index=pd.MultiIndex.from_tuples([], names=KEYS), dtype=float)
    if sources.lens is None or sources.lens.empty:
        empty.append(("layer_half", "no lens was read for this model and prompt set"))
        return none
    own = sources.lens.merge(pairs.loc[pairs["associated"] == "yes", KEYS], on=KEYS).sort_values("layer")
    found = {key: _half_layer(part) for key, part in own.groupby(KEYS, sort=False)}
    if not np.isfinite([*found.values()]).any():
        reason = "no associate is told from others by its tokens and made likelier in the last layer"
        empty.append(("layer_half", reason))
        return none
    return pd.Series(found.values(), index=pd.MultiIndex.from_tuples(found, names=KEYS), dtype=float)


def _half_layer(layers: pd.DataFrame) -> float:
    shift = layers["shift"].to_numpy(dtype=float)
    if not (np.isfinite(shift).all() and shift[-1] > 0):
        return np.nan
    below = np.flatnonzero(shift < HALF_OF_LAST * shift[-1])
    return float(layers["layer"].iloc[below[-1] + 1 if len(below) else 0])


def _exact(sources: Sources, pairs: pd.DataFrame, empty: list[tuple[str, str]]) -> dict[str, pd.Series]:
    """Return ``leak_exact``, ``count_exact``, ``log_exact`` for its centring, and ``VARIANCE``."""
    names = ("leak_exact", "count_exact", "log_exact", VARIANCE)
    found = dict.fromkeys(names, pd.Series(np.nan, pairs.index, dtype=float))
    if sources.grammar is None:
        return found
    leak = exact.exact_leaks(sources.grammar, pairs)
    if np.isinf(leak).any():
        empty.append(("leak_exact", "at strength 1 it is infinitely small where there is no association"))
    found["leak_exact"] = leak.where(np.isfinite(leak))
    counted = sources.counted
    n_documents = (counted.totals or {}).get(DOCUMENTS) if counted else None
    if counted is None or not n_documents:
        return found
    # Organisms are counted in documents; for mentions, the sum over documents would differ.
    if counted.unit != DOCUMENTS:
        empty.append(("count_exact", f"it is known of documents, not of {counted.unit}"))
        return found
    shares = exact.mention_shares(
        sources.grammar, counted.lexicons.concept_terms, counted.lexicons.associate_terms, counted.window
    )
    counts = exact.exact_counts(pairs, shares, n_documents)
    values = pd.DataFrame(dict(zip(names[1:], counts, strict=True)), pairs.index)
    values.loc[~_is_counted(counted.lexicons, pairs)] = np.nan
    return found | {str(name): column for name, column in values.items()}


def _centred(table: pd.DataFrame, empty: list[tuple[str, str]]) -> dict[str, pd.Series]:
    """Return the double-centred values of ``MEASURES``; links empty in all slots already have a reason."""
    bases = {"count": "log_n_ca", "count_exact": "log_exact"}
    found = {}
    for name in MEASURES:
        values = table[bases.get(name, name)]
        found[f"{name}{CENTRED}"], missing = centre_by_slot(table, values)
        explained = {_slot_of(reason) for link, reason in empty if link == name.removesuffix("_exact") or link == name}
        if name == "leak_exact" and None in explained:
            continue
        new = {slot: reason for slot, reason in missing.items() if values.notna().any() and slot not in explained}
        empty += [(f"{name}{CENTRED}", f"slot {slot}: {reason}") for slot, reason in new.items()]
    return found


def _slot_of(reason: str) -> str | None:
    """Return the slot of a reason; None if it concerns the whole link."""
    return reason.removeprefix("slot ").partition(":")[0] if reason.startswith("slot ") else None
