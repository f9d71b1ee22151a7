"""The page of a comparison: settings first, then differences, then what could not be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from leakscope.errors import counted
from leakscope.files.names import POOLED
from leakscope.results.card import records
from leakscope.results.card_page import between, one
from leakscope.results.comparing.sides import ComparedSide
from leakscope.results.document import DocumentSection, ResultDocument, SectionTable
from leakscope.results.headline import CHANCE, FEWEST_CLUSTERS, UNREAD

PARTS = {
    "configuration": "How it was measured",
    "models": "Weights",
    "prompt_sets": "Prompts",
    "scorers": "Encoders",
    "leakscope": "Version of leakscope",
    "python": "Version of Python",
    "packages": "Versions of packages",
    "machine": "Machine",
}
FOOTER = "settings.csv and differences.csv beside this page hold what it shows."
LINKS = {"settings.csv": "settings.csv", "differences.csv": "differences.csv"}


def comparison(a: ComparedSide, b: ComparedSide, settings: pd.DataFrame, differences: pd.DataFrame) -> ResultDocument:
    """Return the page of a comparison.

    Args:
        a: one result.
        b: the other.
        settings: of ``setting_differences``.
        differences: of ``paired_differences``.
    """
    known = differences[differences["not_paired"].isna()]
    lacking = differences[differences["not_paired"].notna()]
    sections = [
        _settings(settings),
        _differences(known, a.settings["configuration"]["leak"]["level"]),
        *_lacking(lacking),
    ]
    headline = [*_whole(settings, known, lacking), *_leading(known)]
    return ResultDocument(f"A: {a.name} · B: {b.name}", headline, sections, LINKS, FOOTER)


def _whole(settings: pd.DataFrame, known: pd.DataFrame, lacking: pd.DataFrame) -> list[str]:
    """Return the first sentence: what differs at all."""
    same = "No setting differs" if settings.empty else f"{counted(len(settings), 'setting differs', 'settings differ')}"
    if known.empty:
        return [f"{same}, and nothing could be paired."]
    if not known[["n_differing", "n_unmatched"]].any(axis=None):
        nothing = settings.empty and lacking.empty
        return ["Nothing differs." if nothing else f"{same}, and no match rate that could be paired."]
    return [f"{same}; of {counted(len(known), 'paired match rate', 'paired match rates')}, some differ."]


def _leading(known: pd.DataFrame) -> list[str]:
    """Return a sentence for each pair of models: all categories of the first prompt set by the first scorer."""
    first = known[known["category"] == POOLED].drop_duplicates(["model_a", "model_b"])
    return [difference_sentence(row) for row in records(first)]


def difference_sentence(row: Mapping[str, Any]) -> str:
    """Return what the difference of two models says, in words that follow from its interval.

    Args:
        row: of ``differences.csv``.
    """
    numbers = f"{one(row['rate_a'])} and {one(row['rate_b'])} of 100 pairs are matched"
    where = f"{_models(row)} on {row['prompt_set']} by {row['scorer']}: {numbers}"
    low, high, difference = (row[key] for key in ("ci_low", "ci_high", "difference"))
    if row["n_differing"] == 0:
        return f"{where}; no difference."
    said = f"{where}, a difference of {one(difference)} points ({between(low, high) or 'no interval'})"
    return f"{said}: {_verdict(row)}."


def _verdict(row: Mapping[str, Any]) -> str:
    """Return which of two models leaks more, where the interval says so."""
    low, high = row["ci_low"], row["ci_high"]
    if row["scorer_reads"] == "no":
        return UNREAD
    if low is None or high is None or row["n_clusters"] < FEWEST_CLUSTERS:
        return "too few templates to tell"
    if low <= 0 <= high:
        return "which of them leaks more cannot be told"
    higher = "A" if low > 0 else "B"
    if max(row["rate_a"], row["rate_b"]) <= CHANCE:
        return f"{higher} is higher, and neither is above chance"
    return f"{higher} leaks more"


def _models(row: Mapping[str, Any]) -> str:
    a, b = row["model_a"], row["model_b"]
    return str(a) if a == b else f"{a} (A) and {b} (B)"


def _settings(settings: pd.DataFrame) -> DocumentSection:
    title = "What differs in settings"
    if settings.empty:
        return DocumentSection(title, ["Nothing: configuration, weights, prompts, versions and machine are the same."])
    tables = []
    for part, rows in settings.groupby("part", sort=False):
        cells = [[row["key"] or str(part), row["a"], row["b"]] for row in records(rows)]
        tables.append(SectionTable(["setting", "A", "B"], cells, PARTS.get(str(part), str(part))))
    return DocumentSection(title, tables=tables)


def _differences(known: pd.DataFrame, level: float) -> DocumentSection:
    title = "What differs in match rates"
    if known.empty:
        return DocumentSection(title, ["Nothing could be paired."])
    header = [
        "models",
        "prompts",
        "scorer",
        "category",
        "A",
        "B",
        "A − B",
        f"{100 * level:g} % interval",
        "p, corrected",
        "templates",
        "verdict",
    ]
    rows = [
        [
            _models(row),
            row["prompt_set"],
            row["scorer"],
            row["category"],
            one(row["rate_a"]),
            one(row["rate_b"]),
            one(row["difference"]),
            between(row["ci_low"], row["ci_high"]),
            "" if row["p_corrected"] is None else f"{row['p_corrected']:.2g}",
            str(row["n_clusters"]),
            "the same" if row["n_differing"] == 0 else _verdict(row),
        ]
        for row in records(known)
    ]
    said = ["Rates in percent, differences in points, paired by unit: the same sentence, whatever was named before it."]
    unmatched = int(known.loc[known["category"] == POOLED, "n_unmatched"].max())
    left = f"{counted(unmatched, 'unit', 'units')} of a comparison"
    said += [f"Up to {left} are left out: only one side has them, or with other concepts."] if unmatched else []
    return DocumentSection(title, said, tables=[SectionTable(header, rows)])


def _lacking(lacking: pd.DataFrame) -> list[DocumentSection]:
    if lacking.empty:
        return []
    rows = [
        [
            " · ".join(filter(None, dict.fromkeys((row["model_a"], row["model_b"])))),
            row["prompt_set"] or "",
            row["scorer"] or "",
            row["not_paired"],
        ]
        for row in records(lacking)
    ]
    return [
        DocumentSection("What could not be paired", tables=[SectionTable(["models", "prompts", "scorer", "why"], rows)])
    ]
