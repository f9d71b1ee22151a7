"""The standard choice of prompts, scorers and organisms, by which cards compare: ``data/cards/standard.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leakscope.files.finding import own
from leakscope.typed.reading import read_typed
from leakscope.typed.values import NotNegativeNumber, Positive, Section, Several, Text
from leakscope.workflow.study import Study

FILE = "data/cards/standard.yaml"


class StandardWriting(Section):
    """How the model of a card writes, whatever its entry says."""

    samples: Positive
    """Texts for each prompt."""
    temperature: NotNegativeNumber
    """How much the texts of a prompt differ."""
    max_new_tokens: Positive
    """The longest text."""


class Standard(Section):
    """The standard choice."""

    version: Positive
    """Another choice has another version."""
    prompt_sets: Several[Text]
    """Prompt sets of the catalogue; the first is that of the headline."""
    scorers: Several[Text]
    """Scorers of the catalogue; the first is that of the headline."""
    organisms: Several[Text]
    """Organisms of the catalogue."""
    generation: StandardWriting
    """How the model writes."""
    mitigations: Several[Text]
    """Mitigations of the catalogue, tried where they are asked for."""


def read_standard() -> Standard:
    """Return the standard choice of this checkout.

    Raises:
        InputError: somebody wrote a mistake into it.
    """
    return read_typed(Path(own(FILE)), Standard)


def followed(study: Study, model: str) -> dict[str, Any]:
    """Return the ``version`` of the standard choice, and keys in which a study ``differs`` for a model.

    Args:
        study: of any kind.
        model: whose card it is.
    """
    standard = read_standard()
    written = study.entries[model].get("generation", {})
    same = {
        "prompt_sets": study.prompt_sets == standard.prompt_sets,
        "scorers": study.scorers == standard.scorers,
        "organisms": set(standard.organisms) <= set(study.models),
        **{f"generation.{key}": written.get(key) == value for key, value in standard.generation.model_dump().items()},
    }
    return {"version": standard.version, "differs": [key for key, is_same in same.items() if not is_same]}
