"""``mitigations.csv``: leak and use that remain under each mitigation at each strength, and the cost.

Intervals and p-values generalise over templates and concept groups: jackknife, two-way with enough groups
(``jackknife.leave_out``). The ratio and both differences are paired by prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leakscope.statistics.jackknife import Deletions, Floats, leave_out, means, share_interval, t_interval, t_test
from leakscope.statistics.permutations import holm
from leakscope.trace.removal.choosing import STRENGTH, leak_size, of_use, rank, used_forms
from leakscope.trace.removal.columns import AT_STRENGTH, EVALUATION, EXACT, LEAK, NONE, SPLITS
from leakscope.trace.removal.texts import TextMeasures, measure_texts

_CI = ("ci_low", "ci_high")
_TEST = (*_CI, "p", "p_corrected")
_DIFFERENCES = ("less_than_none", "less_than_prompt")
MITIGATION_COLUMNS = [
    "model", "prompt_set", *AT_STRENGTH, "chosen", "chosen_at", "split",
    "leak", *(f"leak_{end}" for end in _CI), "leak_absolute", "left", *(f"left_{end}" for end in _CI), "leak_exact",
    "use", *(f"use_{end}" for end in _CI), "use_base", "use_kept", "use_measured", *TextMeasures._fields,
    *(name for less in _DIFFERENCES for name in (less, *(f"{less}_{end}" for end in _TEST))),
    "n_prompts", "n_templates", "n_groups", "n_use",
]  # fmt: skip


class Written(NamedTuple):
    """Texts of the step ``leak``.

    units: model and prompt set → its match units by the primary scorer. generations: model and prompt set → its texts.
    mitigated: model, prompt set, mitigation and cost, as text → the mitigated model.
    """

    units: Mapping[tuple[str, str], pd.DataFrame]
    generations: Mapping[tuple[str, str], pd.DataFrame]
    mitigated: Mapping[tuple[str, str, str, str], str]


NOTHING_WRITTEN = Written({}, {}, {})


class _At(NamedTuple):
    """A mitigation at one strength: its key, the costs at which it is chosen, and its values."""

    key: dict[str, Any]
    costs: list[str]
    values: pd.DataFrame


class _Beside(NamedTuple):
    """References for the strengths of one model and prompt set.

    base: values of no mitigation. forms: of use that count. prompts: cost, as text → values of the best prompt
    mitigation chosen at it.
    """

    base: pd.DataFrame
    forms: set[str]
    prompts: Mapping[str, pd.DataFrame]


def summarise_mitigations(
    measured: Sequence[pd.DataFrame],
    chosen: Sequence[Mapping[str, Any]],
    costs: Sequence[float],
    level: float,
    kept: float,
    written: Written = NOTHING_WRITTEN,
) -> pd.DataFrame:
    """Return ``MITIGATION_COLUMNS``: a row per model, prompt set, mitigation, strength and split.

        leak           mean of the tests' leaks l, in nats; ``leak_absolute``: ``choosing.leak_size``
        left           Σ d l / Σ d l₀, l₀ without a mitigation and d = ±1 the sign of l₀ in their template's other
                       groups: a template that avoids the concept counts like one that repeats it (as in
                       ``layers.summary``), and where all repeat it this is leak / leak of no mitigation
        use            share of right answers, of forms that the model answers without a mitigation
                       (``choosing.used_forms``); where there is none of all, and ``use_measured`` is no
        use_kept       use / ``use_base``, that of no mitigation
        chosen_at      costs at which this strength stands for its mitigation; ``chosen``: whether there is one
        less_than_*    mean of d (l′ − l), in nats, l′ with no mitigation or the best prompt at the cost; Holm's
                       correction over the chosen ones of a model, prompt set and split
        match, ...     ``texts.TextMeasures`` of the mitigated model that the study has, and of the model itself, in the
                       evaluation split

    Args:
        measured: ``columns.MEASURED`` of each model, prompt set and mitigation, ``none`` among them.
        chosen: the choices for each, as the job writes them.
        costs: in percent of perplexity.
        level: of intervals, 0 to 1.
        kept: share of the use that the best prompt should keep, if any does.
        written: texts, if the study has them.
    """
    names = [(record["model"], record["prompt_set"]) for record in chosen]
    parts = []
    for name in dict.fromkeys(names):
        own = [number for number, other in enumerate(names) if other == name]
        strengths = [at for number in own for at in _strengths(measured[number], chosen[number])]
        beside = _beside(strengths, [f"{cost:g}" for cost in costs], kept)
        rows = [row for at in strengths for row in _rows(at, beside, max(costs), level)]
        table = pd.DataFrame([{"model": name[0], "prompt_set": name[1], **row} for row in rows])
        parts.append(_with_texts(table, strengths, written, level))
    everything = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return _corrected(everything).reindex(columns=MITIGATION_COLUMNS)


def _strengths(measured: pd.DataFrame, record: Mapping[str, Any]) -> Iterator[_At]:
    """Yield a mitigation at each of its strengths."""
    marked: dict[tuple[object, ...], list[str]] = {}
    for cost, entry in record["chosen"].items():
        if entry is not None:
            marked.setdefault(tuple(entry[key] for key in STRENGTH), []).append(cost)
    for _, values in measured.groupby(STRENGTH, sort=False, dropna=False):
        key = {name: values[name].iloc[0] for name in AT_STRENGTH}
        mark = tuple(None if pd.isna(key[name]) else key[name] for name in STRENGTH)
        yield _At(key, marked.get(mark, []), values)


def _beside(strengths: Sequence[_At], costs: Sequence[str], kept: float) -> _Beside:
    base = next(at.values for at in strengths if at.key["kind"] == NONE)
    forms, best = used_forms(base), {}
    for cost in costs:
        prompts = [at.values for at in strengths if at.key["kind"] == "prompt" and cost in at.costs]
        if prompts:
            best[cost] = min(prompts, key=lambda values: rank(values, base, forms, kept))
    return _Beside(base, forms, best)


def _of(values: pd.DataFrame, split: str, measure: str) -> pd.DataFrame:
    return values[(values["split"] == split) & (values["measure"] == measure)]


def _leaks(values: pd.DataFrame, split: str, prompts: pd.Series) -> Floats:
    """Return the leaks of prompts, (prompts,)."""
    return _of(values, split, LEAK).set_index("prompt_id")["value"].loc[prompts].to_numpy(dtype=float)


def _rows(at: _At, beside: _Beside, highest: float, level: float) -> Iterator[dict[str, Any]]:
    shared = {
        **at.key,
        "reached": "yes" if at.key["reached"] else "no",
        "chosen": "yes" if at.costs else "no",
        "chosen_at": " ".join(at.costs),
    }
    target = max(map(float, at.costs), default=at.key["target_cost"])
    prompt = beside.prompts.get(f"{highest if pd.isna(target) else target:g}")
    # Variants that were not chosen are measured on the selection split only.
    for split in (split for split in SPLITS if split in set(at.values["split"])):
        yield {
            **shared,
            "split": split,
            **_leak_row(at, beside.base, prompt, split, level),
            **_use_row(at.values, beside, split, level),
        }


def _leak_row(at: _At, base: pd.DataFrame, prompt: pd.DataFrame | None, split: str, level: float) -> dict[str, Any]:
    own = _of(at.values, split, LEAK)
    deletions = leave_out(own["template_id"], own["concept_group"])
    before, value = _leaks(base, split, own["prompt_id"]), own["value"].to_numpy(dtype=float)
    direction = _directions(own, before)
    with_it, without = means(direction * value, deletions), means(direction * before, deletions)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = with_it / without
    row = {
        **_named("leak", t_interval(means(value, deletions), deletions, level)),
        "leak_absolute": leak_size(own),
        **_named("left", t_interval(left, deletions, level)),
        "leak_exact": _of(at.values, split, EXACT)["value"].mean(skipna=False),
        "n_prompts": len(own),
        "n_templates": own["template_id"].nunique(),
        "n_groups": own["concept_group"].nunique(),
    }
    if at.key["kind"] != NONE:
        row |= _less("less_than_none", without - with_it, deletions, level)
    if prompt is not None and prompt is not at.values:
        best = means(direction * _leaks(prompt, split, own["prompt_id"]), deletions)
        row |= _less("less_than_prompt", best - with_it, deletions, level)
    return row


def _directions(tests: pd.DataFrame, before: Floats) -> Floats:
    """Return the sign of each test's template from its other groups, (tests,): a test's own value must not set its
    sign."""
    of_template = pd.Series(before).groupby(tests["template_id"].to_numpy()).transform("sum")
    of_cell = pd.Series(before).groupby([tests["template_id"].to_numpy(), tests["concept_group"].to_numpy()])
    others = (of_template - of_cell.transform("sum")).to_numpy()
    return np.sign(np.where(others == 0, of_template, others))


def _less(name: str, difference: Floats, deletions: Deletions, level: float) -> dict[str, float]:
    return {**_named(name, t_interval(difference, deletions, level)), f"{name}_p": t_test(difference, deletions)}


def _named(name: str, interval: Sequence[float]) -> dict[str, float]:
    return dict(zip((name, *(f"{name}_{end}" for end in _CI)), interval, strict=True))


def _use_row(values: pd.DataFrame, beside: _Beside, split: str, level: float) -> dict[str, Any]:
    own, base = (of_use(table[table["split"] == split], beside.forms) for table in (values, beside.base))
    row: dict[str, Any] = {"use_measured": "yes" if beside.forms else "no", "n_use": len(own)}
    if own.empty:
        return row
    deletions = leave_out(own["concept_group"], own["template_id"])
    use, before = means(own["value"], deletions), float(base["value"].mean())
    return {
        **row,
        **_named("use", share_interval(use, deletions, level)),
        "use_base": before,
        "use_kept": float(use[0]) / before if before else np.nan,
    }


def _with_texts(table: pd.DataFrame, strengths: Sequence[_At], written: Written, level: float) -> pd.DataFrame:
    """Return rows of one model and prompt set with ``TextMeasures`` where the study has texts."""
    base = next(at.values for at in strengths if at.key["kind"] == NONE)
    prompts = base[(base["split"] == EVALUATION) & (base["measure"] == LEAK)]
    found = []
    for record in table.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        key = (_writer(row, written), row["prompt_set"])
        if row["split"] == EVALUATION and key in written.generations and key in written.units:
            measures = measure_texts(written.units[key], written.generations[key], prompts, level)
        else:
            measures = TextMeasures()
        found.append(measures)
    return table.assign(**pd.DataFrame(found, index=table.index))


def _writer(row: Mapping[str, Any], written: Written) -> str:
    """Return the model whose texts belong to a row; "" if there is none."""
    if row["kind"] == NONE:
        return str(row["model"])
    keys = ((row["model"], row["prompt_set"], row["mitigation"], cost) for cost in row["chosen_at"].split())
    return next((written.mitigated[key] for key in keys if key in written.mitigated), "")


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows with corrected p-values of chosen strengths, one family per model, prompt set and split.

    A strength found for two costs is one test.
    """
    if table.empty:
        return table
    family = ["model", "prompt_set", "split"]
    strength = [*family, "mitigation", "variant", "strength"]
    tests = table[table["chosen"] == "yes"].drop_duplicates(strength)
    for less in _DIFFERENCES:
        if f"{less}_p" in table:
            p = tests.groupby(family)[f"{less}_p"].transform(lambda p: holm(p.to_numpy(dtype=float)))
            known = tests[strength].assign(**{f"{less}_p_corrected": p})
            found = table[strength].merge(known, on=strength, how="left")[f"{less}_p_corrected"]
            table[f"{less}_p_corrected"] = found.to_numpy()
            table.loc[table["chosen"] != "yes", f"{less}_p_corrected"] = np.nan
    return table
