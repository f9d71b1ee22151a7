"""The card of a model as a file: ``card/<model>.json``, which is enough to compare the model with another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from leakscope.errors import Mistakes
from leakscope.files.reading import read_object
from leakscope.files.writing import replacing
from leakscope.typed.mistakes import mistakes
from leakscope.typed.values import Name, Positive, Section, Share, StudyName, mistake

FORMAT: Literal[1] = 1
ALLOWED = "a card that leakscope wrote: results/<study>/card/<model>.json"


class FollowedStandard(Section):
    """Which standard choice the card's study follows."""

    version: int
    """Of `data/cards/standard.yaml`."""
    differs: list[str]
    """Keys of the standard in which the study is another; cards without any, of one version, are comparable."""


class CardRate(Section):
    """A match rate of the model; rates and shares in percent."""

    prompt_set: str
    language: str
    """Of the sentences, and that of the concepts where it is another."""
    scorer: str
    scorer_reads: Literal["yes", "no", ""]
    """Whether the scorer was made for these languages; empty: not known."""
    category: str
    """A category of the prompt set, or `all`."""
    rate: float | None
    low: float | None
    """Of the interval for other templates."""
    high: float | None
    concepts_low: float | None
    """Of the interval for other templates and other concepts."""
    concepts_high: float | None
    without_repetition: float | None
    """The rate of pairs in which no text names either concept."""
    without_echo: float | None
    """The rate of pairs in which no text restates either prompt."""
    echo: float | None
    empty: float | None
    foreign: float | None
    p: float | None
    """Of the test against 50, corrected."""
    detectable: float | None
    """The least rate that four of five such studies find."""
    sd: float | None
    """Between clusters, in points."""
    truth: float | None
    """The exact rate, of an organism."""
    clusters: int
    """Unrelated templates."""
    pairs: int
    """Pairs of texts."""
    verdict: str


class CardLogitLeak(Section):
    """How far probabilities of a concept's associates move; no scorer takes part."""

    prompt_set: str
    language: str
    category: str
    shift: float | None
    """In log-odds, nats; 0: no leak."""
    low: float | None
    high: float | None
    clusters: int


class CardOrganism(Section):
    """An organism that the same study measured: a small model whose rate is known exactly."""

    model: str
    prompt_set: str
    scorer: str
    rate: float | None
    low: float | None
    high: float | None
    truth: float | None


class CardCalibration(Section):
    """How far the organisms' rates were from the exact ones, in points."""

    prompt_set: str
    scorer: str
    organisms: int
    mean_error: float | None
    low: float | None
    high: float | None
    intervals: int
    inside: float | None
    """Share of the intervals that hold the exact rate, 0 to 1."""


class CardMitigation(Section):
    """The mitigation that does best on the half that chooses, by its values on the other half."""

    prompt_set: str
    mitigation: str
    left: float | None
    """Share of the leak that it leaves."""
    left_low: float | None
    left_high: float | None
    use_kept: float | None
    """Share of right answers that it keeps, of prompts that need the concept."""
    cost: float | None
    """Rise of the perplexity of neutral texts, in percent."""


class CardUnits(Section):
    """Outcomes by unit, one entry a unit in each list: what another card is paired with."""

    prompt_set: str
    scorer: str
    category: list[str | None]
    unit: list[str]
    """Digest of the control's sentence."""
    cluster: list[str]
    """Digest of the cluster."""
    n_groups: list[Positive]
    """Groups of concepts: the unit's weight."""
    match: list[Share]
    """How often texts were told apart, 0 to 1."""

    @model_validator(mode="after")
    def _one_row_a_unit(self) -> CardUnits:
        columns = (self.category, self.unit, self.cluster, self.n_groups, self.match)
        if len(lengths := sorted({len(column) for column in columns})) > 1:
            raise mistake(
                "unit", f"got lists of {lengths[0]} to {lengths[-1]} entries", "allowed: lists of equal length."
            )
        if len(set(zip(*columns[:-1], strict=True))) < len(self.unit):
            raise mistake("unit", "got a unit twice", "allowed: each unit of a category once.")
        return self


class CardFile(Section):
    """What is known of a model's leakage, and under which settings."""

    format: Literal[1]
    study: StudyName
    model: Name
    label: str
    standard: FollowedStandard
    headline: str
    verdict: str
    level: float
    """Of the intervals, 0 to 1."""
    rates: list[CardRate]
    logit_leak: list[CardLogitLeak]
    """Empty where probabilities are not known."""
    organisms: list[CardOrganism]
    calibration: list[CardCalibration]
    mitigations: list[CardMitigation]
    """Empty where none was asked for."""
    doubts: list[str]
    """Reasons not to believe the headline."""
    settings: dict[str, Any]
    """Configuration, hashes of models and prompt sets, versions."""
    units: list[CardUnits]


def read_card(path: Path) -> CardFile:
    """Return a card that somebody wrote, or sent.

    Raises:
        InputError: it is none, or one of another format: all mistakes, one line each.
    """
    content = read_object(path, ALLOWED)
    try:
        return CardFile.model_validate(content)
    except ValidationError as error:
        found = Mistakes(mistakes(error, content, CardFile, str(path)).values())
        found.end()
        raise


def write_card(card: CardFile, path: Path) -> None:
    """Write a card as JSON, whole or not at all."""
    with replacing(path) as part:
        part.write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
