"""Leak and use that remain under each variant of a mitigation, at the strengths that reach given costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from leakscope.models.candidate_scores import score_prompts
from leakscope.models.editing.bisection import remembering, strength_at_cost
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.organisms.leak_grammar import Grammar
from leakscope.trace.removal.choosing import ENOUGH, ROUNDING, choose, used_forms
from leakscope.trace.removal.columns import (
    AT_STRENGTH,
    EVALUATION,
    EXACT,
    LEAK,
    MEASURED,
    NONE,
    SELECTION,
    SPLITS,
    USE,
)
from leakscope.trace.removal.exact import exact_leaks_left
from leakscope.trace.removal.items import Items
from leakscope.trace.removal.kinds import KINDS, unchanged
from leakscope.trace.removal.leaks import leak_values
from leakscope.trace.removal.neutral_costs import FRONTS, Costs, CostTexts
from leakscope.trace.removal.variants import Setting, Variant

# Kinds whose leak in an organism is computed exactly from its law.
KNOWN_EXACTLY = (NONE, "decoding")
# Use is lost in steps of one prompt, so bisection cannot meet a target exactly.
STEPS_OF_USE = 4
VALUES = ["split", "measure", "prompt_id", "template_id", "concept_group", "value"]


class Strengths(NamedTuple):
    """The strengths to try.

    costs: allowed increases of perplexity, in percent. shares: fractions of the strength at the highest cost, also
    tried. kept: share of the use to keep; the largest strength that keeps it is also tried.
    """

    costs: Sequence[float]
    shares: Sequence[float]
    kept: float


class Tried(NamedTuple):
    """A strength of a variant, as in ``columns.AT_STRENGTH``."""

    strength: float
    target_cost: float
    share: float
    reached: bool
    cost_selection: float


WITHOUT = Tried(0.0, math.nan, 1.0, False, 0.0)
"""The strength of the model without a mitigation."""


class Measured(NamedTuple):
    """``columns.MEASURED`` of a mitigation and of the model without it, and the variants by name."""

    table: pd.DataFrame
    base: pd.DataFrame
    variants: dict[str, Variant]


class Bench(NamedTuple):
    """The data for measuring variants.

    setting: of the variants. mitigation: name. choosing, reporting: costs on neutral texts. grammar: of an organism's
    corpus; None for other models.
    """

    setting: Setting
    mitigation: str
    choosing: Costs
    reporting: Costs
    grammar: Grammar | None = None


def measure_mitigation(
    setting: Setting,
    mitigation: str,
    neutral: CostTexts,
    strengths: Strengths,
    *,
    batch_size: int,
    grammar: Grammar | None = None,
) -> Measured:
    """Return the measurements of all variants of a mitigation at all strengths.

    Of several variants, only those that are chosen at a cost are measured on the evaluation split; if none is, all.

    Args:
        setting: of the mitigation.
        mitigation: its name in the catalogue.
        neutral: texts for measuring costs.
        strengths: to try.
        batch_size: neutral texts per batch.
        grammar: of an organism's corpus; None for other models.

    Raises:
        InputError: the model's outputs are not finite; or as ``score_prompts`` and the kind's function.
    """
    fronts = ([text.text for text in half[:FRONTS]] for half in reversed(neutral))
    choosing, reporting = (
        Costs(setting.model, half, front, batch_size=batch_size, store=setting.prompting.store)
        for half, front in zip(neutral, fronts, strict=True)
    )
    bench = Bench(setting, mitigation, choosing, reporting, grammar)
    plain = bench._replace(mitigation=NONE, setting=setting._replace(entry={"kind": NONE}))
    unmitigated = unchanged(setting)[0]
    parts = [_measured(plain, unmitigated, [WITHOUT], split) for split in SPLITS]
    base = _with_cost(pd.concat(parts, ignore_index=True))
    if setting.entry["kind"] == NONE:
        return Measured(base, base, {})
    # Use that the unmitigated model does not master cannot show what a mitigation breaks.
    forms, use = used_forms(base), setting.items.use
    asked = setting.items._replace(use=use[use["template_id"].isin(forms)] if forms else use)
    bench = bench._replace(setting=setting._replace(items=asked))
    variants = {variant.name: variant for variant in KINDS[setting.entry["kind"]](bench.setting)}
    tried = {
        name: find_strengths(variant, choosing, strengths, _lost_use(bench, variant))
        for name, variant in variants.items()
    }
    tables = [_measured(bench, variant, tried[name], SELECTION) for name, variant in variants.items()]
    selected = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=MEASURED)
    best = [choose(selected, base, cost, strengths.kept) for cost in strengths.costs] if tables else []
    evaluated = {str(one["variant"]) for one in best if one is not None} or set(variants)
    tables += [_measured(bench, variants[name], tried[name], EVALUATION) for name in variants if name in evaluated]
    found = pd.concat(tables, ignore_index=True) if tables else selected
    return Measured(_with_cost(found), base, variants)


def find_strengths(
    variant: Variant, costs: Costs, strengths: Strengths, lost: Callable[[float], float] | None = None
) -> list[Tried]:
    """Return the strengths of a variant to measure, once per purpose.

    A variant without a strength is tried as it is. Many changes cost no perplexity at any strength and are limited only
    by the use they preserve, so the largest strength that preserves enough is also found.

    Args:
        variant: to try.
        costs: on the texts for finding strengths.
        strengths: requested.
        lost: strength → percent of the selection split's use lost; None if the model masters no use.
    """
    cost = remembering(costs.of(variant.at, variant.before))
    if variant.largest == 0:
        return [Tried(0.0, math.nan, 1.0, False, cost(0.0))]
    priced = {float(target): strength_at_cost(cost, target, variant.largest) for target in sorted(strengths.costs)}
    found = [Tried(at.strength, target, 1.0, at.reached, at.cost) for target, at in priced.items()]
    highest = found[-1]
    if highest.strength == 0:
        return found
    shared = [(share, share * highest.strength) for share in strengths.shares]
    target = 100 * (1 - strengths.kept) + ROUNDING
    if lost is not None and lost(highest.strength) > target:
        most = strength_at_cost(lost, target, highest.strength, STEPS_OF_USE).strength
        shared += [(most / highest.strength, most)] if most > 0 else []
    return [
        *found,
        *(highest._replace(strength=s, share=share, cost_selection=cost(s)) for share, s in dict.fromkeys(shared)),
    ]


def score_shifts(tests: pd.DataFrame, scores: pd.DataFrame) -> pd.Series:
    """Return (``prompt_id``, ``candidate``) → log p(candidate | test) − log p(candidate | control), in nats.

    Args:
        tests: ``prompt_id, control_id``.
        scores: ``prompt_id, candidate, logprob`` of tests and controls.
    """
    logprob = scores.set_index(["prompt_id", "candidate"])["logprob"]
    own = scores[["prompt_id", "candidate"]].merge(tests[["prompt_id", "control_id"]], on="prompt_id")
    test, control = (
        logprob.reindex(pd.MultiIndex.from_frame(own[[key, "candidate"]])).to_numpy()
        for key in ("prompt_id", "control_id")
    )
    return pd.Series(test - control, pd.MultiIndex.from_frame(own[["prompt_id", "candidate"]]))


def use_values(use: pd.DataFrame, scores: pd.DataFrame) -> pd.Series:
    """Return 1 if the right answer is likelier than every other candidate, else 0, (prompts,).

    Args:
        use: ``prompt_id, answer``.
        scores: ``prompt_id, candidate, logprob``.
    """
    answers = scores.merge(use[["prompt_id", "answer"]], on="prompt_id")
    is_right = answers["candidate"] == answers["answer"]
    best = answers["logprob"].groupby([answers["prompt_id"], is_right]).max().unstack()
    return (best[True] > best[False]).astype(float).reindex(use["prompt_id"]).set_axis(use.index)


def _measured(bench: Bench, variant: Variant, tried: Sequence[Tried], split: str) -> pd.DataFrame:
    """Return ``columns.MEASURED`` of a variant at its strengths, of one split."""
    setting, seen, tables = bench.setting, dict[float, tuple[float, pd.DataFrame]](), []
    names = {"model": setting.name, "prompt_set": str(setting.items.tests["prompt_set"].iloc[0])}
    for at in tried:
        if at.strength not in seen:
            seen[at.strength] = _at_strength(bench, variant, at.strength, split)
        cost, values = seen[at.strength]
        how = [bench.mitigation, setting.entry["kind"], variant.name]
        how += [at.strength, at.target_cost, at.share, at.reached, at.cost_selection, cost]
        tables.append(values.assign(**names, **dict(zip(AT_STRENGTH, how, strict=True)))[MEASURED])
    return pd.concat(tables, ignore_index=True)


def _with_cost(measured: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the cost that the evaluation split's rows of the same strength report."""
    return measured.assign(cost=measured.groupby(["variant", "strength"])["cost"].transform("max"))


def _lost_use(bench: Bench, variant: Variant) -> Callable[[float], float] | None:
    """Return strength → percent of the selection split's right answers that are lost; None where it uses nothing."""
    setting = bench.setting
    _, use = setting.items.of(SELECTION)

    def right(one: Variant, strength: float) -> float:
        with one.at(strength) as model:
            scores = score_prompts(model, use, setting.items.use_candidates, setting.name, one.prompting).table
        return float(use_values(use, scores).mean())

    plain = right(unchanged(setting)[0], 0.0) if len(use) else 0.0
    return remembering(lambda strength: 100 * (1 - right(variant, strength) / plain)) if plain >= ENOUGH else None


def _at_strength(bench: Bench, variant: Variant, strength: float, split: str) -> tuple[float, pd.DataFrame]:
    """Return ``VALUES`` of a variant at one strength and split, and its cost; in the selection split, NaN."""
    setting, items = bench.setting, bench.setting.items.only(split)
    # A strength of 0 of a variant that has strengths is no change: none that is larger can be afforded.
    plain = strength == 0 and variant.largest > 0
    used = unchanged(setting)[0] if plain else variant
    with used.at(strength) as model:
        cost = bench.reporting.percent(model, used.before) if split == EVALUATION else math.nan
        values = measure_values(model, items, setting.name, used.prompting)
    if bench.grammar is not None and setting.entry["kind"] in KNOWN_EXACTLY:
        exact = exact_leaks_left(
            bench.grammar, items.tests, items.candidates, setting.model, setting.prompting, strength
        )
        values = pd.concat([values, items.tests.assign(measure=EXACT, value=exact)[VALUES]], ignore_index=True)
    return cost, values


def measure_values(model: LanguageModel, items: Items, name: str, prompting: Prompting) -> pd.DataFrame:
    """Return ``VALUES`` of leak and use of a model.

    Raises:
        InputError: as ``score_prompts``.
    """
    prompts = pd.concat([items.tests, items.controls], ignore_index=True)
    scores = score_prompts(model, prompts, items.candidates, name, prompting).table
    leaks = leak_values(items.tests, items.candidates, score_shifts(items.tests, scores))
    tables = [items.tests.assign(measure=LEAK, value=leaks)]
    if len(items.use):
        scores = score_prompts(model, items.use, items.use_candidates, name, prompting).table
        tables.append(items.use.assign(measure=USE, value=use_values(items.use, scores)))
    return pd.concat([table[VALUES] for table in tables], ignore_index=True)
