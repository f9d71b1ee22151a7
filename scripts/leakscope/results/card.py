"""The card of one model: what a study found about it, from the study's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from leakscope.files.names import POOLED
from leakscope.results.believing import Doubted, doubts, marks
from leakscope.results.card_file import (
    FORMAT,
    CardCalibration,
    CardFile,
    CardLogitLeak,
    CardMitigation,
    CardOrganism,
    CardRate,
    FollowedStandard,
)
from leakscope.results.headline import UNREAD, sentence, unread_sentence
from leakscope.results.rows import rate_of
from leakscope.results.units import as_lists, outcomes

EVALUATION, SELECTION, NONE = "evaluation", "selection", "none"
RATE = [name for name in CardRate.model_fields if name not in ("language", "scorer_reads")]


class CardTables(NamedTuple):
    """What a card is made of.

    rows: of ``rows.rate_rows``, of all models.
    rates: ``match_rates.csv``.
    units: of all prompt sets and scorers, as ``matching.match_units`` returns them.
    logit_leak, calibration, mitigations: tables of these names; None where the study has none.
    """

    rows: Sequence[Mapping[str, Any]]
    rates: pd.DataFrame
    units: pd.DataFrame
    logit_leak: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    mitigations: pd.DataFrame | None = None


class CardSubject(NamedTuple):
    """Whose card it is.

    study, model, label: names; the last is that for people.
    prompt_set, scorer: of the headline.
    languages: prompt set → its language, for people.
    organisms: models whose exact rates are known.
    standard: the standard choice that the study follows.
    level: of the intervals, 0 to 1.
    kept: share of the use that a mitigation has to keep.
    unread: sentences on scorers that do not read a prompt set, and on unread prompts.
    """

    study: str
    model: str
    label: str
    prompt_set: str
    scorer: str
    languages: Mapping[str, str]
    organisms: Sequence[str]
    standard: Mapping[str, Any]
    level: float
    kept: float
    unread: Sequence[str] = ()


def make_card(tables: CardTables, subject: CardSubject, settings: Mapping[str, Any]) -> CardFile:
    """Return the card of a model.

    Args:
        tables: of its study.
        subject: whose card.
        settings: configuration, hashes and versions.
    """
    own = [row for row in tables.rows if row["model"] == subject.model]
    first = next(row for row in own if is_leading(row, subject))
    rates = _rates(own, tables.rates, subject)
    is_read = all(row.scorer_reads != "no" for row in rates if is_leading(row.model_dump(), subject))
    return CardFile(
        format=FORMAT,
        study=subject.study,
        model=subject.model,
        label=subject.label,
        standard=FollowedStandard(**subject.standard),
        headline=(sentence if is_read else unread_sentence)(subject.label, rate_of(first), subject.level),
        verdict=first["verdict"] if is_read else UNREAD,
        level=subject.level,
        rates=rates,
        logit_leak=_logit_leak(tables.logit_leak, subject),
        organisms=_organisms(tables.rows, subject),
        calibration=_calibration(tables.calibration),
        mitigations=best_mitigations(tables.mitigations, subject.model, subject.kept),
        doubts=_doubts(first, own, subject),
        settings=dict(settings),
        units=as_lists(outcomes(tables.units, subject.model)),
    )


def is_leading(row: Mapping[str, Any], subject: CardSubject) -> bool:
    """Say whether a row is the one that the headline is about."""
    return (row["prompt_set"], row["scorer"], row["category"]) == (subject.prompt_set, subject.scorer, POOLED)


def best_mitigations(table: pd.DataFrame | None, model: str, kept: float) -> list[CardMitigation]:
    """Return the best mitigation of each prompt set, by its values on the half that chose nothing.

    Best is the least ``leak_absolute`` on the selection half at the highest cost, of those that keep enough of the use;
    where the use is not measured, of all.

    Args:
        table: ``mitigations.csv``.
        model: whose.
        kept: share of the use to be kept.
    """
    if table is None:
        return []
    own = table[(table["model"] == model) & (table["kind"] != NONE) & (table["chosen"] == "yes")]
    found = []
    for prompt_set, rows in own.groupby("prompt_set", sort=False):
        costs = rows["chosen_at"].astype(str).str.split()
        highest = max((cost for each in costs for cost in each), key=float)
        chosen = rows[costs.map(lambda each, cost=highest: cost in each)]
        best = _best(chosen[chosen["split"] == SELECTION], kept)
        if best is not None:
            same = all_equal(chosen, best, ["mitigation", "variant", "strength"])
            found += [
                _mitigation(str(prompt_set), row) for row in records(chosen[same & (chosen["split"] == EVALUATION)])
            ]
    return found


def _best(rows: pd.DataFrame, kept: float) -> pd.Series | None:
    enough = rows[rows["use_kept"].isna() | (rows["use_kept"] >= kept)].dropna(subset="leak_absolute")
    return None if enough.empty else enough.sort_values("leak_absolute", kind="stable").iloc[0]


def all_equal(table: pd.DataFrame, row: pd.Series, keys: Sequence[str]) -> pd.Series:
    """Return which rows have the same values of some columns; two that are missing are the same."""
    same = pd.Series(data=True, index=table.index)
    for key in keys:
        same &= table[key].isna() if pd.isna(row[key]) else table[key].eq(row[key])
    return same


def _mitigation(prompt_set: str, row: Mapping[str, Any]) -> CardMitigation:
    variant = "" if row["variant"] is None else f" ({row['variant']})"
    return CardMitigation(
        prompt_set=prompt_set,
        mitigation=f"{row['mitigation']}{variant}",
        left=row["left"],
        left_low=row["left_ci_low"],
        left_high=row["left_ci_high"],
        use_kept=row["use_kept"],
        cost=row["cost"],
    )


def _rates(own: Sequence[Mapping[str, Any]], rates: pd.DataFrame, subject: CardSubject) -> list[CardRate]:
    reads = rates[rates["model"] == subject.model].drop_duplicates(["prompt_set", "scorer"])
    read_by: dict[Any, Any] = {(row["prompt_set"], row["scorer"]): row["scorer_reads"] or "" for row in records(reads)}
    return [
        CardRate(
            **{name: row[name] for name in RATE},
            language=subject.languages[row["prompt_set"]],
            scorer_reads=read_by[row["prompt_set"], row["scorer"]],
        )
        for row in own
    ]


def _logit_leak(table: pd.DataFrame | None, subject: CardSubject) -> list[CardLogitLeak]:
    if table is None:
        return []
    return [
        CardLogitLeak(
            prompt_set=row["prompt_set"],
            language=subject.languages[row["prompt_set"]],
            category=row["category"],
            shift=row["log_odds_shift"],
            low=row["log_odds_ci_low"],
            high=row["log_odds_ci_high"],
            clusters=row["n_clusters"],
        )
        for row in records(table[table["model"] == subject.model])
    ]


def _organisms(rows: Sequence[Mapping[str, Any]], subject: CardSubject) -> list[CardOrganism]:
    """Return measured beside exact rates, where the exact one is known."""
    known = (row for row in rows if row["category"] == POOLED and row["truth"] is not None)
    keys = CardOrganism.model_fields
    return [CardOrganism(**{key: row[key] for key in keys}) for row in known if row["model"] in subject.organisms]


def _calibration(table: pd.DataFrame | None) -> list[CardCalibration]:
    if table is None:
        return []
    own = table[(table["measure"] == "match_rate") & (table["category"] == POOLED)]
    return [
        CardCalibration(
            prompt_set=row["prompt_set"],
            scorer=row["scorer"],
            organisms=row["n_organisms"],
            mean_error=row["mean_error"],
            low=row["ci_low"],
            high=row["ci_high"],
            intervals=row["n_intervals"],
            inside=row["inside"],
        )
        for row in records(own)
    ]


def _doubts(first: Mapping[str, Any], own: Sequence[Mapping[str, Any]], subject: CardSubject) -> list[str]:
    same = ("prompt_set", "category")
    others = [row for row in own if all(row[key] == first[key] for key in same) and row["scorer"] != first["scorer"]]
    found = doubts([Doubted(subject.label, marks(first, others, subject.level))])
    return [*subject.unread, *found]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON knows them: None for a missing value."""
    rows = table.astype(object).to_dict("records")
    return [{str(key): None if _is_missing(value) else value for key, value in row.items()} for row in rows]


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
