"""Content of a study's result page: its leading models, figures and links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from leakscope.workflow.cards.standard import followed
from leakscope.workflow.failures import FAILURES
from leakscope.workflow.step import Step
from leakscope.workflow.study import Study

# Step → candidate tables: its section begins with the first that the study has; for `leak` with match rates.
TABLES = {
    "ground": ["kendall_tau"],
    "validate": ["correlations"],
    "features": ["effects", "quality"],
    "trace": ["relations"],
}
# Step → candidate figures with captions; the first that the study has is shown.
LEADING = {
    "leak": {
        "dose_response": "Match rates of organisms by what was planted in them, beside their exact rates",
        "repetition": "Match rates with and without texts that repeat a concept",
    },
    "ground": {"kendall_tau": "Agreement of models' rankings with counts and with prevalence"},
    "validate": {"correlations": "Correlation of what models generate with what they affirm"},
    "features": {
        "effects": "What edits of features leave of a gap, beside what they cost",
        "quality": "Quality of dictionaries",
    },
    "trace": {"trace": "Associations from the corpus to the text"},
}
# Sources of models with imported texts or scores.
BROUGHT = ("generations", "scores")


@dataclass(frozen=True, eq=False)
class ResultPage:
    """The page of a study.

    Args:
        study: of the run.
        known: step → its object, for all steps.
    """

    study: Study
    known: Mapping[str, Step]

    @cached_property
    def steps(self) -> dict[str, Step]:
        """The study's steps, in the order of the page."""
        return {name: step for name, step in self.known.items() if name in self.study.steps}

    def of(self, step: str, *files: str) -> list[str]:
        """Return files that a step writes; empty if the study does not include it."""
        return list(files) if step in self.steps else []

    @cached_property
    def real(self) -> list[str]:
        """The models tested for leakage that are no organisms: those of interest to readers."""
        return [model for model in self.study.models if not self.study.is_organism(model)]

    @cached_property
    def leading(self) -> dict[str, Any]:
        """Models, scorer and prompt sets of the leading rates (the primary tests); empty without the step ``leak``."""
        study, primary = self.study, self.study.config["leak"]["primary"]
        if "leak" not in self.steps or not study.models:
            return {}
        chosen = [model for model in primary["models"] or self.real if model in study.models]
        return {
            "models": chosen or [max(study.models, key=self._strength)],
            "prompt_set": (primary["prompt_sets"] or study.prompt_sets)[0],
            "scorer": (primary["scorers"] or study.scorers)[0],
        }

    def leading_files(self, pattern: str) -> list[str]:
        """Return the files of the leading rates, with ``prompt_set`` and ``scorer``, one per model if the pattern has
        one."""
        of = self.leading
        return list(dict.fromkeys(pattern.format(**of, model=model) for model in of["models"])) if of else []

    def _strength(self, model: str) -> float:
        """Return the strength planted in the organism that a model is or is made from."""
        return float(self.study.entries[self.study.foundation(model)]["grammar"]["strength"])

    @cached_property
    def figures(self) -> dict[str, str]:
        """Step → the figure of its section, if any."""
        shown = {step: next((f for f in LEADING[step] if f in self.steps[step].figures), None) for step in self.steps}
        return {step: figure for step, figure in shown.items() if figure}

    @property
    def figure_files(self) -> list[str]:
        """The files of these figures."""
        return [f"{self.steps[step].folder}/figures/{figure}.png" for step, figure in self.figures.items()]

    def table(self, step: str) -> str | None:
        """Return the first table of a step's section; None for ``leak``."""
        there = self.steps[step].targets()
        folder = self.steps[step].folder
        return next((name for name in TABLES.get(step, []) if f"{folder}/{name}.csv" in there), None)

    @property
    def tables(self) -> list[str]:
        """The files of these tables, in the order of the steps."""
        return [f"{self.steps[step].folder}/{table}.csv" for step in self.steps if (table := self.table(step))]

    def failures(self, folder: Path) -> list[str]:
        """Return the file with the reasons for missing models, if a study continues without some.

        Args:
            folder: of the study's results.
        """
        path = folder / FAILURES
        return [str(path)] if self.study.config["without"] and path.is_file() else []

    @cached_property
    def cards(self) -> list[str]:
        """The models that get a card: those tested for leakage, without organisms unless there are no others."""
        return (self.real or list(self.study.models)) if "leak" in self.steps else []

    def card(self, model: str) -> dict[str, Any]:
        """Return the parameters of a model card's script, apart from files."""
        # Imported here: every job reads the Snakefile, and few need this.
        from leakscope.workflow.surroundings import shown_value

        study = self.study
        languages = {name: dict.fromkeys(study.languages(name)) for name in study.prompt_sets}
        return {
            "names": study.labels(study.models),
            "leading": {key: self.leading[key] for key in ("prompt_set", "scorer")},
            "languages": {name: " with concepts in ".join(known) for name, known in languages.items()},
            "organisms": [name for name in study.models if study.is_organism(name)],
            "standard": followed(study, model),
            "level": study.config["leak"]["level"],
            "kept": study.config["trace"]["mitigating"]["kept"],
            "unread": [*study.unread, *study.unreviewed],
            "configuration": shown_value(study.config),
            "recorded": study.models,
            "brought": {name: _paths(study.entries[name]["path"]) for name in study.imported},
        }

    def records(self) -> list[str]:
        """Return the records of each model's weights, or of the answering server's model."""
        study = self.study
        answers = f"<results>/generations/{{}}/{study.prompt_sets[0]}.json" if study.prompt_sets else ""
        return [study.manifest(name) if name in study.generated else answers.format(name) for name in study.models]

    def params(self) -> dict[str, Any]:
        """Return the script's parameters, apart from files."""
        study = self.study
        models = list(study.config["study"]["models"])
        return {
            "study": study.name,
            "names": study.labels([*self.real, *(model for model in models if model not in self.real)]),
            "organisms": [model for model in models if study.is_organism(model)],
            "imported": [study.entries[m]["label"] for m in models if study.entries[m]["source"] in BROUGHT],
            "without": list(study.config["without"]),
            "leading": self.leading,
            "level": study.config["leak"]["level"],
            "unread": [*study.unread, *study.unreviewed] if self.leading else [],
            "decimals": study.config["leak"]["decimals"],
            "steps": {step: self._shown(step) for step in self.steps},
        }

    def _shown(self, step: str) -> dict[str, Any]:
        """Return a section's figure caption and links."""
        figure = self.figures.get(step)
        return {
            "table": self.table(step),
            "figure": figure,
            "alt": LEADING[step][figure] if figure else "",
            "links": self._links(self.steps[step]),
        }

    def _links(self, step: Step) -> dict[str, str]:
        """Return pages and tables of a step, pages first: name → file below the page's folder."""
        files = [target.replace("<results>/", "").replace("<", "").replace(">", "") for target in step.targets()]
        kept = [file for file in files if file.endswith((".html", ".csv"))]
        return {_called(file): file for file in sorted(kept, key=lambda file: not file.endswith(".html"))}


def _paths(path: str | Mapping[str, str]) -> dict[str, str]:
    """Return purpose → file of an imported model, as in provenance.json."""
    return {"all": path} if isinstance(path, str) else dict(path)


def _called(file: str) -> str:
    """Return the text of a link to a file."""
    if file == "explorer.html":
        return "Explorer: every text"
    if file == "trace/index.html":
        return "Trace: every association"
    if file.endswith(".html"):
        parts = file.split("/")
        return f"Features of {parts[2]}" if "dictionaries" in parts else "Features of the first dictionary"
    return file.rpartition("/")[2]
