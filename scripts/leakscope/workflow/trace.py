"""What the step ``trace`` leaves for a person, and what its jobs are given."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from leakscope.errors import InputError
from leakscope.workflow.step import Step
from leakscope.workflow.traced import counted_as

# Part of the step → the tables that it is. Each is a target, as is the page.
PARTS = {"links": ["links", "relations", "empty_links"], "patching": ["patching", "patching_pairs"]}
PAGE = "page"
FIGURES = {
    "trace": ["links", "relations", "patching"],
    "relations": ["relations"],
    "patching": ["patching"],
}
NO_STEP = (
    "study.steps: got no step trace; allowed: `steps: [trace]` and a prompt set that is made from templates, as in "
    "studies/trace.yaml."
)


class Trace(Step):
    """The step ``trace`` of a study: associations of prompt sets from templates, in models that run here."""

    name, folder = "trace", "<trace>"

    @cached_property
    def models(self) -> list[str]:
        """The models in which associations are followed; none where the study does not take the step."""
        return self.study.generated if "trace" in self.study.steps else []

    @property
    def sets(self) -> list[str]:
        """The prompt sets whose associations are followed."""
        return self.study.templated

    @cached_property
    def traced(self) -> dict[str, list[str]]:
        """Wildcards of all tables of a model and a prompt set, in the order of tables."""
        return {"model": self.models, "prompt_set": self.sets}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every model with every prompt set, in the same order."""
        return [(model, prompt_set) for model in self.models for prompt_set in self.sets]

    def cues(self, prompt_set: str) -> list[str]:
        """Return the file of a prompt set's cues, where it has one."""
        entry = self.settings["sets"].get(prompt_set) or {}
        return [entry["cues"]] if entry.get("cues") else []

    # Counts.

    @cached_property
    def axes(self) -> dict[tuple[str, str], str]:
        """Model and prompt set → the axis of ``ground`` that counts its pairs, of those that are counted."""
        found = {(model, prompt_set): counted_as(self.study, model, prompt_set) for model, prompt_set in self.pairs}
        return {pair: axis for pair, axis in found.items() if axis is not None}

    def counts(self, pattern: str) -> list[str]:
        """Return a file of each axis that counts, each once, from a pattern with ``axis``."""
        return list(dict.fromkeys(pattern.format(axis=axis) for axis in self.axes.values()))

    def counted_terms(self) -> list[str]:
        """Return the counts of single terms; tables that somebody brings have none."""
        return [f"<ground>/counts/{axis}.terms.csv" for axis in dict.fromkeys(self.axes.values()) if self._whole(axis)]

    def counted_totals(self) -> list[str]:
        """Return how much text was counted, of the same axes."""
        return [f"<ground>/counts/{axis}.json" for axis in dict.fromkeys(self.axes.values()) if self._whole(axis)]

    def _whole(self, axis: str) -> bool:
        model, prompt_set = next(pair for pair, found in self.axes.items() if found == axis)
        entry = self.settings["sets"].get(prompt_set) or {}
        return self.study.is_organism(model) or (entry.get("counts") or {}).get("source") != "table"

    # Organisms: what is planted is known exactly.

    @cached_property
    def planted(self) -> dict[str, dict[str, Any]]:
        """Organism → its grammar, of those that were taught to leak in bare words and are as they were trained."""
        study = self.study
        return {
            model: {**study.entries[model]["grammar"], "parts": study.leaking_parts(model)}
            for model in self.models
            if model in study.leaking and study.entries[model]["source"] == "organism"
        }

    @property
    def grammar_files(self) -> list[str]:
        """The files of these grammars."""
        return self.study.grammar_files(part for grammar in self.planted.values() for part in grammar["parts"])

    @property
    def scorer(self) -> str | None:
        """The scorer whose match rates stand for texts: the study's primary one; None without the step ``leak``."""
        if "leak" not in self.study.steps:
            return None
        return str((self.study.config["leak"]["primary"]["scorers"] or self.study.scorers)[0])

    def linking(self) -> dict[str, Any]:
        """Return what the table of links depends on, beside tables."""
        axes = [{"model": model, "prompt_set": s, "axis": axis} for (model, s), axis in self.axes.items()]
        return {
            "pairs": self.pairs,
            "axes": axes,
            "counted": list(dict.fromkeys(self.axes.values())),
            "with_terms": [axis for axis in dict.fromkeys(self.axes.values()) if self._whole(axis)],
            "window": self.settings["window"],
            "grammars": self.planted,
            "scorer": self.scorer,
            "level": self.settings["level"],
        }

    # What a person gets.

    @cached_property
    def figures(self) -> dict[str, list[str]]:
        """Figure → the tables that it shows."""
        return dict(FIGURES) if self.models else {}

    @property
    def context(self) -> dict[str, Any]:
        """What figures know of the study beside its tables."""
        return {"labels": self.study.labels(self.models)}

    def targets(self, part: str | None = None) -> list[str]:
        """Return all that the step, or a part of it, leaves for a person.

        Raises:
            InputError: the study does not take the step.
        """
        if not self.models:
            raise InputError(NO_STEP)
        page = [f"{self.folder}/index.html"]
        if part == PAGE:
            return page
        if part is not None:
            return [self.table(name) for name in PARTS[part]]
        return [*(self.table(name) for names in PARTS.values() for name in names), *self.figure_files(), *page]
