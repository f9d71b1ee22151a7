"""What the step ``leak`` leaves for a person, and what its jobs are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from leakscope.leak.measures.echo import closing_words
from leakscope.workflow.step import Step

# Keeps the random numbers of the truth apart from those of what is measured.
SEED_OFFSET = 1_000_003

# figure → the tables that it shows, by their file
FIGURES = {
    "match_rates": ["match_rates"],
    "repetition": ["match_rates"],
    "by_concept": ["match_rates_by_concept"],
    "by_template": ["match_rates_by_template"],
    "comparisons": ["comparisons"],
    "concept_matrix": ["concept_matrix"],
}


class Leak(Step):
    """The step ``leak`` of a study."""

    name, folder = "leak", "<results>"

    @cached_property
    def figures(self) -> dict[str, list[str]]:
        """Figure → the tables that it shows, of those figures that the study has data for."""
        study, figures = self.study, dict(FIGURES)
        if len(study.scorers) > 1:
            figures["agreement"] = ["agreement"]
        if study.organisms or study.sizes(study.models):
            figures["by_size"] = ["match_rates", *(["organisms"] if study.organisms else [])]
        if study.has_candidates:
            figures["logit_leak"] = ["logit_leak"]
        if study.has_truth:
            figures |= {"dose_response": ["match_rates", "organisms", "truth"], "truth": ["match_rates", "truth"]}
        return figures

    def targets(self) -> list[str]:
        """Return all that the step leaves for a person, given what the study has."""
        tables = ["match_rates", "comparisons"]
        tables += ["agreement"] if len(self.study.scorers) > 1 else []
        tables += ["leak_rates", "specific_leakage", "leak_rates_by_control", "concept_matrix"]
        tables += ["logit_leak"] if self.study.has_candidates else []
        tables += ["organisms"] if self.study.organisms else []
        tables += ["truth", "calibration"] if self.study.has_truth else []
        return [
            *(f"<results>/{name}.csv" for name in tables),
            *self.figure_files(),
            "<results>/explorer.html",
        ]

    @property
    def context(self) -> dict[str, Any]:
        """What figures know of the study beside its tables."""
        study = self.study
        labels, sizes = study.labels(study.models), study.sizes(study.models)
        return {"labels": labels, "sizes": sizes, "matrix": study.config["leak"]["matrix"]}

    def testing(self) -> dict[str, Any]:
        """Return the level of intervals, the numbers of permutations, and which tests are corrected together."""
        settings = self.study.config["leak"]
        chosen = settings["primary"]
        primary = {
            "prompt_set": chosen["prompt_sets"] or self.study.prompt_sets,
            "scorer": chosen["scorers"] or list(self.study.scorers)[:1],
            "model": self.study.models if chosen["models"] is None else chosen["models"],
            "category": chosen["categories"],
        }
        kept = {key: settings[key] for key in ("level", "permutations", "name_permutations")}
        return {**kept, "primary": {key: list(names) for key, names in primary.items()}}

    def planning(self) -> dict[str, Any]:
        """Return what a plan depends on, beside prompts and results; ``samples`` is None of texts that are imported."""
        study = self.study
        samples = {
            name: min((study.generation(model, name)["samples"] for model in study.prompted), default=None)
            or study.prompt_set(name).get("samples")
            for name in study.prompt_sets
        }
        testing = self.testing()
        primary = testing["primary"]
        return {
            "plan": study.config["plan"],
            "samples": samples,
            "n_models": len(primary["model"]),
            "n_cells": prod(len(primary[key]) for key in ("prompt_set", "scorer", "category")),
            "scorers": study.scorers,
            "level": testing["level"],
            "permutations": testing["permutations"],
        }

    @staticmethod
    def there(pattern: str, **names: Iterable[str]) -> Callable[[object, Sequence[str]], list[Path]]:
        """Return those files of the results, by their names in the folder of a rule's output, that are on disk when its
        job is planned: every name of a wildcard with every other's."""
        ways = [dict(zip(names, values, strict=True)) for values in product(*names.values())]
        return lambda wildcards, output: [
            path for way in ways if (path := Path(output[0]).parent / pattern.format(**way)).is_file()
        ]

    def closings(self) -> dict[str, str]:
        """Return model → what its template writes after the prompt; texts that are imported have no template here."""
        study = self.study
        return {name: closing_words(study.entries[name]["generation"]["template"]) for name in study.prompted}

    def comparing(self) -> dict[str, Any]:
        """Return how texts are compared: rounded similarities, and what templates write after the prompt."""
        return {"decimals": self.study.config["leak"]["decimals"], "closings": self.closings()}

    def drawing(self, model: str, prompt_set: str) -> dict[str, Any]:
        """Return how the texts are drawn from which an organism's rates are known: as it writes, but more of them.

        As many texts at once as it writes otherwise.
        """
        settings = self.study.generation(model, prompt_set)
        n = self.study.config["leak"]["truth_texts"]
        at_once = max(1, settings["batch_size"] * settings["samples"] // n)
        settings.pop("control_samples", None)
        return {**settings, "samples": n, "seed": settings["seed"] + SEED_OFFSET, "batch_size": at_once}

    @property
    def planted_parts(self) -> dict[str, list[str]]:
        """Organism → the parts of its grammar that plant leakage, of those whose rates are known."""
        study = self.study
        of_words = {model: study.leaking_parts(model) for model in study.leaking}
        return of_words | {model: study.sentence_parts(model) for model in study.drawn}

    def judging(self) -> dict[str, Any]:
        """Return the level of intervals, and organism → the seed of its texts, of those whose rates are known."""
        seeds = {model: self.study.entries[model]["generation"]["seed"] for model in self.planted_parts}
        return {"level": self.study.config["leak"]["level"], "seeds": seeds}

    def truth_settings(self) -> dict[str, Any]:
        """Return what the exact rates of organisms depend on, beside tables."""
        study = self.study
        entries = {model: study.entries[model] for model in study.leaking}
        return {
            "grammars": {
                model: {**study.entries[model]["grammar"], "parts": parts}
                for model, parts in self.planted_parts.items()
            },
            "temperatures": {m: entry["generation"]["temperature"] for m, entry in entries.items()},
            "max_new_tokens": {m: entry["generation"]["max_new_tokens"] for m, entry in entries.items()},
            "scorers": study.scorers,
            "decimals": study.config["leak"]["decimals"],
            "languages": study.languages,
        }
