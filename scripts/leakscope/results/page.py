"""The result page: what a study found, in the order in which a reader asks, as one file that needs no network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from leakscope.errors import counted
from leakscope.files.names import POOLED
from leakscope.files.reading import read_bytes, read_utf8
from leakscope.results.believing import Doubted, doubts, marks
from leakscope.results.charts import match_rate_chart
from leakscope.results.example import TextSide
from leakscope.results.headline import could_detect, percent, sentence, strongest, summary
from leakscope.results.rows import rate_of
from leakscope.results.steps import StepFinding
from leakscope.web.drawing import drawing_program
from leakscope.web.elements import bullets, element, link_items, wide_table
from leakscope.web.pages import document_style, fill, write_page

TEMPLATE = Path(__file__).resolve().parents[3] / "report" / "index.template.html"
MOST_SENTENCES = 3
"""Of models in the headline, and of what could be detected; of more models a summary leads. The table has all."""
MANY = 12
"""Up to this number, models keep their order; more are sorted by rate, and imported ones are folded away."""
TITLES = {
    "leak": "Step leak: does what was mentioned come back?",
    "ground": "Step ground: are rankings those of the corpus?",
    "validate": "Step validate: does a model affirm what it generates?",
    "features": "Step features: where does it sit?",
    "trace": "Step trace: where does it come from, and where is it read?",
}


class Leading(NamedTuple):
    """Which rows the page begins with, and whose.

    models: the ones that a reader cares about, in order: real ones, else one organism.
    prompt_set, scorer: of the headline.
    """

    models: Sequence[str]
    prompt_set: str
    scorer: str


class Rates(NamedTuple):
    """What the step ``leak`` found.

    rows: of ``rows.rate_rows``.
    leading: which of them are said first.
    organisms: the models whose truth is known, or which are made of one.
    example: of ``example.middling_pair``, of the model ``foremost``.
    level: of intervals.
    unread: a sentence for each scorer that was not made for the language of its texts.
    """

    rows: Sequence[Mapping[str, Any]]
    leading: Leading
    organisms: Sequence[str]
    example: tuple[TextSide, TextSide] | None
    level: float
    unread: Sequence[str] = ()


class PageSection(NamedTuple):
    """A step on the page.

    step: its name.
    found: what it found; None of ``leak``, whose rates lead the page.
    figure, alt: a PNG, and what it shows; None where there is none.
    links: name → file, below the page's folder.
    """

    step: str
    found: StepFinding | None
    figure: Path | None
    alt: str
    links: Mapping[str, str]


class LeftOut(NamedTuple):
    """Model → why it is missing, and the models whose texts or scores somebody else made."""

    missing: Mapping[str, str]
    imported: Sequence[str]


def write_result_page(
    path: Path,
    study: str,
    rates: Rates | None,
    sections: Sequence[PageSection],
    lacking: LeftOut,
    template: Path = TEMPLATE,
) -> None:
    """Write the page, whole or not at all; the same results give the same bytes.

    Args:
        path: of the page; its folder is made.
        study: its name.
        rates: where the study takes the step ``leak``.
        sections: the steps, in the study's order.
        lacking: what is missing, and what was brought.
        template: in a folder with ``page.css``.
    """
    said = _headlines(rates) if rates else [section.found.sentence for section in sections if section.found]
    text = fill(
        read_utf8(template),
        style=document_style(template),
        title=html.escape(study),
        headline="".join(element("p" if i else "h1", line) for i, line in enumerate(said)) + _missing(lacking, rates),
        rates_hidden="" if rates else "hidden",
        pages=link_items(
            {text: file for section in sections for text, file in section.links.items() if _is_page(file)}
        ),
        example=_example(rates),
        believing=_believing(rates),
        detectable=_detectable(rates),
        lacking=_lacking(lacking),
        sections="".join(map(_section, sections)),
        data=_in_script(_payload(study, rates)),
        program=drawing_program() if rates else "",
    )
    write_page(path, text)


def _payload(study: str, rates: Rates | None) -> dict[str, Any]:
    """Return what the page's script is given."""
    if rates is None:
        return {"study": study, "rows": [], "chart": None}
    organisms = set(rates.organisms)
    rows = [
        {**row, "kind": "organism" if row["model"] in organisms else "model"}
        | {"interval": "" if row["low"] is None else f"{row['low']:.1f} to {row['high']:.1f}"}
        for row in rates.rows
    ]
    first = {"prompt_set": rates.leading.prompt_set, "scorer": rates.leading.scorer, "category": POOLED}
    many = len({row["model"] for row in rows}) > MANY
    return {"study": study, "rows": rows, "chart": match_rate_chart(), "first": first, "many": many}


def _in_script(payload: Mapping[str, Any]) -> str:
    """Return JSON in which nothing can end the element that holds it."""
    text = json.dumps(payload, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def foremost(rows: Sequence[Mapping[str, Any]], leading: Leading) -> str:
    """Return the model of the first sentence: the first one that leads, of many the highest.

    Args:
        rows: of ``rows.rate_rows``.
        leading: the models that lead, at least one.
    """
    found = _leading_rows(rows, leading)
    if len(found) <= MOST_SENTENCES:
        return leading.models[0]
    return str(found[strongest([rate_of(row) for row in found])]["model"])


def _leading_rows(rows: Sequence[Mapping[str, Any]], leading: Leading) -> list[Mapping[str, Any]]:
    """Return the rows of the leading models that the headline is about."""
    wanted = (leading.prompt_set, leading.scorer, POOLED)
    found = {row["model"]: row for row in rows if (row["prompt_set"], row["scorer"], row["category"]) == wanted}
    return [found[model] for model in leading.models if model in found]


def _headlines(rates: Rates) -> list[str]:
    models = [(row["name"], rate_of(row)) for row in _leading_rows(rates.rows, rates.leading)]
    if len(models) > MOST_SENTENCES:
        return summary(models, rates.level)
    return [sentence(*model, rates.level) for model in models] or ["No model has a match rate."]


def _example(rates: Rates | None) -> str:
    if rates is None or rates.example is None:
        return ""
    first = foremost(rates.rows, rates.leading)
    name = next((row["name"] for row in rates.rows if row["model"] == first), "")
    rows = "".join(
        f'<tr><td dir="auto">{_marked(side.prompt, side.concept)}</td><td dir="auto">{html.escape(side.text)}</td></tr>'
        for side in rates.example
    )
    return (
        '<section aria-labelledby="example"><h2 id="example">One pair of texts</h2>'
        f"<p>Two texts of {html.escape(name)} that the scorer gives to the right concepts: of all such pairs the one "
        'in the middle, by how clear it is. <a href="explorer.html">The explorer</a> has all.</p>'
        '<div class="wide" tabindex="0" role="region" aria-label="Prompts and texts"><table class="texts"><thead><tr>'
        f"<th>it read</th><th>it wrote</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _marked(prompt: str, concept: str) -> str:
    """Return a prompt with its concept marked, if the prompt contains it."""
    before, found, after = prompt.partition(concept)
    if not found:
        return html.escape(prompt)
    return f"{html.escape(before)}<mark>{html.escape(found)}</mark>{html.escape(after)}"


def _believing(rates: Rates | None) -> str:
    if rates is None:
        return ""
    rows = _leading_rows(rates.rows, rates.leading)
    found = [Doubted(row["name"], marks(row, _by_others(row, rates), rates.level)) for row in rows]
    said = [*rates.unread, *doubts(found), *_chosen_afterwards(rows, rates)]
    body = bullets(said) if said else "<p>No check of this run found a reason for doubt.</p>"
    return (
        '<section class="believing" aria-labelledby="believing"><h2 id="believing">When not to believe it</h2>'
        f"{body}<p class=quiet>From the run's own tables. No table can tell whether these concepts and sentences are a "
        "fair question: with others the number may be another.</p></section>"
    )


def _chosen_afterwards(rows: Sequence[Mapping[str, Any]], rates: Rates) -> list[str]:
    """Return what speaks against the model that the headline of many names."""
    if len(rows) <= MOST_SENTENCES:
        return []
    name = next(row["name"] for row in rows if row["model"] == foremost(rows, rates.leading))
    return [
        f"{name} is named for being the highest of {len(rows)}: in another such study its rate is likely to be lower."
    ]


def _by_others(row: Mapping[str, Any], rates: Rates) -> list[Mapping[str, Any]]:
    """Return the same model's rows by other scorers."""
    same = ("model", "prompt_set", "category")
    return [
        other
        for other in rates.rows
        if all(other[key] == row[key] for key in same) and other["scorer"] != row["scorer"]
    ]


def _detectable(rates: Rates | None) -> str:
    if rates is None:
        return ""
    rows = _leading_rows(rates.rows, rates.leading)
    said = list(map(could_detect, rows)) if len(rows) <= MOST_SENTENCES else _could_detect_of(rows)
    title = '<h2 id="detectable">What could be detected</h2>'
    return f'<section aria-labelledby="detectable">{title}{bullets(said)}</section>'


def _could_detect_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the same of many models."""
    known = sorted(row["detectable"] for row in rows if row["detectable"] is not None)
    unknown = len(rows) - len(known)
    said = [f"Of {unknown} of {len(rows)} models this is not known: of too few templates, say."] if unknown else []
    if not known:
        return said
    which = f"{percent(known[0])} to {percent(known[-1])}, by the model"
    rest = "a smaller leak may be there all the same. The table has it of each"
    return [f"The least match rate that four of five such studies find is {which}: {rest}.", *said]


def _missing(lacking: LeftOut, rates: Rates | None) -> str:
    """Return what the headline says of models that are missing."""
    if not lacking.missing:
        return ""
    there = len({row["model"] for row in rates.rows}) if rates else 0
    of = there + len(lacking.missing) if there else None
    return f'<p>{counted(len(lacking.missing), "model is", "models are", of)} missing: <a href="#missing">why</a>.</p>'


def _lacking(lacking: LeftOut) -> str:
    parts = []
    if lacking.missing:
        rows = [f"{model}: {why}" for model, why in sorted(lacking.missing.items())]
        parts.append(f'<h2 id="missing">What failed</h2><p>Without these models:</p>{bullets(rows)}')
    if lacking.imported:
        names = html.escape(", ".join(lacking.imported))
        said = "Written or scored elsewhere, and read from files"
        if len(lacking.imported) > MANY:
            shown = f"<details><summary>{said}: {len(lacking.imported)} models.</summary><p>{names}.</p></details>"
        else:
            shown = f"<p>{said}: {names}.</p>"
        parts.append(f"<h2>What was imported</h2>{shown}")
    return f"<section>{''.join(parts)}</section>" if parts else ""


def _section(section: PageSection) -> str:
    title, name = html.escape(TITLES[section.step]), f"step-{section.step}"
    found = "" if section.found is None else f"<p>{html.escape(section.found.sentence)}</p>{_table(section)}"
    picture = "" if section.figure is None else _picture(section.figure, section.alt)
    return (
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{found}{picture}'
        f'<ul class="links">{link_items(section.links)}</ul></section>'
    )


def _is_page(file: str) -> bool:
    return file.endswith(".html")


def _picture(path: Path, alt: str) -> str:
    data = base64.b64encode(read_bytes(path)).decode("ascii")
    text = html.escape(alt)
    return f'<figure><img src="data:image/png;base64,{data}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _table(section: PageSection) -> str:
    if section.found is None or not section.found.rows:
        return ""
    rows = (map(html.escape, row) for row in section.found.rows)
    return wide_table(section.found.header, map(list, rows), f"Table of {section.step}")
