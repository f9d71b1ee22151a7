"""The card of a model as a page and as Markdown: both say what the card's file holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from leakscope.errors import counted
from leakscope.files.names import POOLED
from leakscope.results.card_file import CardCalibration, CardFile, CardLogitLeak, CardRate
from leakscope.results.document import DocumentSection, DrawnInterval, ResultDocument, SectionTable
from leakscope.results.headline import UNREAD, could_detect

Cell = TypeVar("Cell", CardRate, CardLogitLeak)
NO_DOUBT = "No check of this run found a reason for doubt."
FOOTER = "The JSON file beside this one holds all numbers, and the outcomes that another card is compared by."


def card_document(card: CardFile, links: Mapping[str, str]) -> ResultDocument:
    """Return what a card says, the most important first.

    Args:
        card: of a model.
        links: text → file below the card's folder.
    """
    sections = [
        _rates(card),
        DocumentSection("When not to believe it", points=card.doubts or [NO_DOUBT], warns=True),
        _detectable(card),
        _logit_leak(card),
        *_mitigations(card),
        _organisms(card),
        _settings(card),
    ]
    return ResultDocument(f"Card of {card.label}", [card.headline, _standard(card)], sections, links, FOOTER)


def _standard(card: CardFile) -> str:
    version, differs = card.standard.version, card.standard.differs
    if not differs:
        return f"Measured by the standard choice of prompts, scorers and organisms, version {version}."
    return f"Not the standard choice, version {version}: the study differs in {', '.join(differs)}."


def _rates(card: CardFile) -> DocumentSection:
    scorers = dict.fromkeys(row.scorer for row in card.rates)
    tables = [_rate_table(scorer, [row for row in card.rates if row.scorer == scorer]) for scorer in scorers]
    said = (
        "How often similarity gives two texts to the concepts named before them, in percent: 50 is chance (dashed), "
        f"100 always; with {100 * card.level:g} % intervals for other templates."
    )
    return DocumentSection("Match rate by prompt set and category", [said], tables=tables)


def _rate_table(scorer: str, rows: Sequence[CardRate]) -> SectionTable:
    header = [
        "prompts",
        "category",
        "0 to 100",
        "rate",
        "interval",
        "no concept repeated",
        "no prompt restated",
        "verdict",
    ]
    return SectionTable(header, [_rate_row(row) for row in _whole_first(rows)], f"By {scorer}")


def _whole_first(rows: Sequence[Cell]) -> list[Cell]:
    """Return rows by prompt set, ``all`` categories first."""
    sets = list(dict.fromkeys(row.prompt_set for row in rows))
    return sorted(rows, key=lambda row: (sets.index(row.prompt_set), row.category != POOLED))


def _rate_row(row: CardRate) -> list[str | DrawnInterval]:
    unread = row.scorer_reads == "no"
    return [
        f"{row.prompt_set} ({row.language})",
        row.category,
        DrawnInterval(row.rate, row.low, row.high, doubtful=unread),
        one(row.rate),
        between(row.low, row.high),
        one(row.without_repetition),
        one(row.without_echo),
        UNREAD if unread else row.verdict,
    ]


def _detectable(card: CardFile) -> DocumentSection:
    read = [row for row in card.rates if row.category == POOLED and row.scorer_reads != "no"]
    points = [could_detect({**row.model_dump(), "name": f"{row.prompt_set} by {row.scorer}"}) for row in read]
    return DocumentSection("What could be detected", points=points)


def _logit_leak(card: CardFile) -> DocumentSection:
    title = "Without a scorer: the logit leak"
    if not card.logit_leak:
        return DocumentSection(
            title, ["Not known: no probabilities of this model can be read, or no associates are listed."]
        )
    said = "By how many nats log-odds of a concept's associates rise once the concept was named. 0: no leak."
    rows = [
        [f"{row.prompt_set} ({row.language})", row.category, two(row.shift), between(row.low, row.high, two)]
        for row in _whole_first(card.logit_leak)
    ]
    return DocumentSection(title, [said], tables=[SectionTable(["prompts", "category", "shift", "interval"], rows)])


def _mitigations(card: CardFile) -> list[DocumentSection]:
    if not card.mitigations:
        return []
    said = (
        "Of what was tried, the best by one half of templates and concepts, measured on the other half. Left: the "
        "share of the leak that remains; use: the share of right answers kept where the concept is needed."
    )
    rows = [
        [
            row.prompt_set,
            row.mitigation,
            two(row.left),
            between(row.left_low, row.left_high, two),
            two(row.use_kept),
            one(row.cost),
        ]
        for row in card.mitigations
    ]
    header = ["prompts", "mitigation", "left", "interval", "use kept", "cost (% of perplexity)"]
    return [DocumentSection("Best mitigation", [said], tables=[SectionTable(header, rows)])]


def _organisms(card: CardFile) -> DocumentSection:
    title = "How good the instrument is"
    if not card.organisms:
        return DocumentSection(title, ["Not known: no organism of known leakage was measured in this study."])
    rows = [
        [row.model, row.prompt_set, row.scorer, one(row.rate), between(row.low, row.high), one(row.truth)]
        for row in card.organisms
    ]
    said = "Organisms: small models trained by this version on text with planted leakage, whose rate is known exactly."
    table = SectionTable(["organism", "prompts", "scorer", "measured", "interval", "exact"], rows)
    return DocumentSection(
        title, [said], [_calibration(row) for row in card.calibration if row.mean_error is not None], [table]
    )


def _calibration(row: CardCalibration) -> str:
    where = "All of them" if row.prompt_set == POOLED else f"{row.prompt_set} by {row.scorer}"
    interval = f" ({between(row.low, row.high)})" if row.low is not None else ""
    inside = (
        ""
        if row.inside is None
        else f"; {row.inside * row.intervals:.0f} of {row.intervals} intervals hold the exact rate"
    )
    return (
        f"{where}: measured less exact, mean over {counted(row.organisms, 'organism', 'organisms')}, "
        f"{one(row.mean_error)} points{interval}{inside}."
    )


def _settings(card: CardFile) -> DocumentSection:
    rows = [[key, text] for key, text in shown_settings(card)]
    return DocumentSection("Settings and versions", tables=[SectionTable(["setting", "value"], rows)])


def shown_settings(card: CardFile) -> list[tuple[str, str]]:
    """Return what a reader asks first of the settings; the card's file has all."""
    settings = card.settings
    entry = settings["configuration"]["models"][card.model]
    written = {**settings["configuration"]["generation"], **entry.get("generation", {})}
    weights = settings["models"].get(card.model, {})
    found: list[tuple[str, Any]] = [
        ("model", card.model),
        *(
            (key, entry.get(key))
            for key in ("source", "id", "revision", "path", "package", "version", "base_url", "model")
        ),
        *((key, weights.get(key)) for key in ("commit", "weights_sha256")),
        *(
            (key, written.get(key))
            for key in ("samples", "temperature", "max_new_tokens", "seed", "system", "template")
        ),
        *((f"prompts {name}", f"SHA-256 {known['sha256']}") for name, known in settings["prompt_sets"].items()),
        *((f"scorer {name}", known.get("model")) for name, known in settings["configuration"]["scorers"].items()),
        ("leakscope", " ".join(str(value) for value in settings["leakscope"].values() if isinstance(value, str))),
        ("Python", settings["python"]),
        *(("package " + name, settings["packages"].get(name)) for name in ("torch", "transformers")),
    ]
    return [(key, str(value)) for key, value in found if value is not None]


def one(value: float | None) -> str:
    """Return a number with one digit; nothing where it is not known."""
    return "" if value is None else f"{value:.1f}".replace("-", "−")


def two(value: float | None) -> str:
    """Return a number with two digits; nothing where it is not known."""
    return "" if value is None else f"{value:.2f}".replace("-", "−")


def between(low: float | None, high: float | None, write: Callable[[float | None], str] = one) -> str:
    """Return an interval; nothing where it is not known."""
    return "" if low is None or high is None else f"{write(low)} to {write(high)}"
