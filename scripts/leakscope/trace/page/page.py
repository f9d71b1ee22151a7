"""The page of the step: every association of a study with its links, from the corpus to the text.

One file that needs no network. Its tables are one compressed block; the details of associations are in one block per
model and prompt set, which the browser unpacks on demand. Every number comes from a table.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.trace.page.charts import patching_chart, removal_chart, scatter_chart
from leakscope.trace.page.details import Parts, view_details
from leakscope.trace.page.headline import headline
from leakscope.trace.page.removal import removal
from leakscope.trace.page.retrained import Change, Retrained, caused, change_rows, changes
from leakscope.trace.page.values import records, values
from leakscope.trace.removal.columns import NONE
from leakscope.web.drawing import drawing_program
from leakscope.web.pages import encoded, page, write_page

TEMPLATE = Path(__file__).resolve().parents[4] / "report" / "trace.template.html"
PAIR = ["prompt_set", "slot", "concept_group", "associate", "associated"]
NUMBERS = [
    "n_prompts", "n_c", "n_a", "n_ca", "n_total", "count", "count_low", "count_high",
    "knows", "affirms", "leak", "match", "layer_half",
    "feature_effect",
    "count_exact", "leak_exact", "count_centred", "knows_centred", "affirms_centred", "leak_centred",
    "count_exact_centred", "leak_exact_centred", "removed", "removed_centred",
]  # fmt: skip
RELATION = [
    "x", "y", "given", "slope", "slope_low", "slope_high", "correlation", "ci_low", "ci_high", "slope_exact",
    "correlation_exact", "n_pairs", "n_concepts", "n_associates", "few",
]  # fmt: skip
CURVE = ["site", "layer", "restored", "ci_low", "ci_high", "n_pairs"]
UNIT = "(nats, centred)"


class TraceTables(NamedTuple):
    """The tables of a whole study: ``links.csv``, ``relations.csv``, ``patching.csv``, ``empty_links.csv``, and
    ``mitigations.csv`` if mitigations were tried."""

    links: pd.DataFrame
    relations: pd.DataFrame
    patching: pd.DataFrame
    empty_links: pd.DataFrame
    mitigations: pd.DataFrame = pd.DataFrame(columns=["model", "prompt_set"])


class TraceStudy(NamedTuple):
    """The page's data on a study apart from tables.

    name: of the study. labels: model → display name, leading models first; other models follow. organisms: models with
    known associations. level: of intervals. features: model → label of a dictionary → its page, a link from this page.
    retrained: organism retrained without some associations → the organism it is compared with. removed: model → prompt
    set → the mitigated model. mitigations: mitigation → display name.
    """

    name: str
    labels: Mapping[str, str]
    organisms: Sequence[str]
    level: float
    features: Mapping[str, Mapping[str, str]] = {}
    retrained: Mapping[str, Retrained] = {}
    removed: Mapping[str, Mapping[str, str]] = {}
    mitigations: Mapping[str, str] = {}


def write_trace_page(
    path: Path, study: TraceStudy, tables: TraceTables, parts: Parts, template: Path = TEMPLATE
) -> None:
    """Write the page atomically; equal tables give equal bytes.

    Args:
        path: of the page; its folder is made.
        study: its data apart from tables.
        tables: of the whole study.
        parts: details of associations.
        template: the page without its data; shared files are in the same folder.
    """
    pairs = tables.links[PAIR].drop_duplicates(ignore_index=True)
    views = _views(study, tables)
    said = [_headline(view, study, tables) for view in views]
    head = {
        "study": study.name,
        "level": study.level,
        "n": len(pairs),
        "pairs": {name: pairs[name].tolist() for name in PAIR},
        "views": [
            {**_view(view, study, tables, pairs), "headline": lines} for view, lines in zip(views, said, strict=True)
        ],
        "charts": {
            "count": scatter_chart("count", f"association in the corpus {UNIT}"),
            "knows": scatter_chart("knows", f"knows it {UNIT}"),
            "patching": patching_chart(),
            "removal": removal_chart(_kinds(tables.mitigations)),
        },
    }
    text = page(
        template,
        title=html.escape(study.name),
        headline=html.escape(said[0][0]) if said else "No model's associations were followed.",
        payload=encoded(head),
        chunks="\n".join(
            f'<script type="text/plain" id="chunk-{number}">'
            f"{encoded(view_details(*view, pairs, parts, study.removed.get(view[0], {}).get(view[1])))}</script>"
            for number, view in enumerate(views)
        ),
        program=drawing_program() if views else "",
    )
    write_page(path, text)


def _kinds(mitigations: pd.DataFrame) -> set[str]:
    """Return the kinds of mitigations that were tried."""
    return set() if mitigations.empty else set(mitigations["kind"]) - {NONE}


def _views(study: TraceStudy, tables: TraceTables) -> list[tuple[str, str]]:
    """Return every model and prompt set of the links, models in the study's order."""
    found = list(dict.fromkeys(zip(tables.links["model"], tables.links["prompt_set"], strict=True)))
    place = {model: number for number, model in enumerate(study.labels)}
    return sorted(found, key=lambda view: place.get(view[0], len(place)))


def _headline(view: tuple[str, str], study: TraceStudy, tables: TraceTables) -> list[str]:
    model = view[0]
    relations, patching = (_of(table, view) for table in (tables.relations, tables.patching))
    said = headline(study.labels.get(model, model), relations, patching, study.level)
    if (retrained := study.retrained.get(model)) is None:
        return said
    name, base = (study.labels.get(other, other) for other in (model, retrained.base))
    return caused(name, base, _changes(view, study, tables), len(retrained.groups), study.level) + said


def _changes(view: tuple[str, str], study: TraceStudy, tables: TraceTables) -> list[Change]:
    """Return the changes in associations of a retrained organism; empty for other models."""
    retrained = study.retrained.get(view[0])
    return [] if retrained is None else changes(tables.links, *view, retrained, study.level)


def _view(view: tuple[str, str], study: TraceStudy, tables: TraceTables, pairs: pd.DataFrame) -> dict[str, Any]:
    """Return the page's data on a model and prompt set: values per pair, and values for all pairs."""
    model, prompt_set = view
    mitigated = study.removed.get(model, {}).get(prompt_set, "")
    links = pairs.merge(_of(tables.links, view), on=PAIR, how="left")
    empty = _of(tables.empty_links, view)
    return {
        "model": model,
        "name": study.labels.get(model, model),
        "kind": "organism" if model in study.organisms else "model",
        "prompt_set": prompt_set,
        "feature": ["" if pd.isna(name) else str(name) for name in links["feature"]],
        "numbers": {name: values(links[name]) for name in NUMBERS},
        "empty": [list(row) for row in zip(empty["link"], empty["reason"], strict=True)],
        "relations": records(_of(tables.relations, view), RELATION),
        "curves": records(_of(tables.patching, view), CURVE),
        "changes": change_rows(_changes(view, study, tables)),
        "removal": removal(_of(tables.mitigations, view), study.mitigations),
        "removed_by": study.labels.get(mitigated, mitigated),
        "features": dict(study.features.get(model, {})),
    }


def _of(table: pd.DataFrame, view: tuple[str, str]) -> pd.DataFrame:
    """Return the rows of a model and prompt set."""
    return table[(table["model"] == view[0]) & (table["prompt_set"] == view[1])]
