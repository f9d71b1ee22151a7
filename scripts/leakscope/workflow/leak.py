"""What the step ``leak`` produces, and the parameters of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from leakscope.configuration.resolved import SERVED
from leakscope.jobs.resources import Needs
from leakscope.leak.measures.echo import closing_words
from leakscope.models.prompts.placing import USER
from leakscope.workflow.step import Step

# Keeps the random numbers of the truth apart from those of what is measured.
SEED_OFFSET = 1_000_003
# What a job needs that waits for a server.
WAITING = Needs(gpus=0, memory_mb=4000, minutes=600)

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
        """Figure → the tables it shows, for figures with data in the study."""
        study, figures = self.study, dict(FIGURES)
        if len(study.scorers) > 1:
            figures["agreement"] = ["agreement"]
        if study.organisms or study.sizes(study.models):
            figures["by_size"] = ["match_rates", *(["organisms"] if study.organisms else [])]
        if study.has_candidates:
            figures["logit_leak"] = ["logit_leak"]
        if study.judges or self.ratings:
            figures["judges"] = ["rating/ratings", *(["rating/judges"] if study.judges else [])]
        if study.has_truth:
            figures |= {"truth": ["match_rates", "truth"]}
        if study.has_truth and any(each["strength"] is not None for each in study.described_organisms.values()):
            figures |= {"dose_response": ["match_rates", "organisms", "truth"]}
        return figures

    def targets(self) -> list[str]:
        """Return the step's targets for this study."""
        tables = ["match_rates", "comparisons"]
        tables += ["agreement"] if len(self.study.scorers) > 1 else []
        tables += ["leak_rates", "specific_leakage", "leak_rates_by_control", "concept_matrix"]
        tables += ["logit_leak"] if self.study.has_candidates else []
        tables += ["organisms"] if self.study.organisms else []
        tables += ["truth", "calibration"] if self.study.has_truth else []
        tables += ["rating/ratings", "rating/agreement"] if self.study.judges or self.ratings else []
        tables += ["rating/judges"] if self.study.judges else []
        return [
            *(f"<results>/{name}.csv" for name in tables),
            *self.figure_files(),
            "<results>/explorer.html",
        ]

    @property
    def exports(self) -> list[str]:
        """Exports for other tools, made on request; empty without the step."""
        study, folder = self.study, "<results>/exports"
        if self.name not in study.steps:
            return []
        return [
            *(f"{folder}/{model}/model-index.yaml" for model in study.models),
            *(f"{folder}/{model}/{name}.eval" for model in study.models for name in study.prompt_sets),
            *(
                f"{folder}/lm-eval/{name}/leakscope_{name}.yaml"
                for name in study.prompt_sets
                if self._is_one_turn(name)
            ),
        ]

    def _is_one_turn(self, prompt_set: str) -> bool:
        """Return whether prompts are a single user turn, the only form that lm-eval tasks can have."""
        return bool(self.study.prompt_set(prompt_set).get("place", USER) == USER)

    def exported_manifest(self, model: str) -> list[str]:
        """Return the model's manifest; none if its weights are elsewhere."""
        return [self.study.manifest(model)] if model in self.study.generated else []

    def exported_settings(self, model: str, prompt_set: str) -> dict[str, Any]:
        """Return a model's generation settings; empty for imported texts."""
        return self.study.generation(model, prompt_set) if model in self.study.prompted else {}

    def exported_sampling(self, prompt_set: str) -> dict[str, Any]:
        """Return the sampling settings of a prompt set for other tools: those of the first model that is no organism,
        if any."""
        study = self.study
        first = next(iter(sorted(study.prompted, key=study.is_organism)), None)
        if first is None:
            own = {key: value for key, value in study.prompt_set(prompt_set).items() if key == "samples" and value}
            return {"settings": {**study.config["generation"], **own}, "of": "nobody", "chat": True}
        settings = study.generation(first, prompt_set)
        return {"settings": settings, "of": first, "chat": bool(study.entries[first].get("chat", True))}

    @property
    def ratings(self) -> list[str]:
        """The files of human ratings."""
        return list(self.study.config["rating"]["ratings"])

    @property
    def context(self) -> dict[str, Any]:
        """Further parameters of figures."""
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
        """Return a plan's parameters apart from prompts and results; ``samples`` is None for imported texts."""
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
        """Return the results files that exist when a job is planned, for all combinations of wildcard values in the
        folder of the rule's output."""
        ways = [dict(zip(names, values, strict=True)) for values in product(*names.values())]
        return lambda wildcards, output: [
            path for way in ways if (path := Path(output[0]).parent / pattern.format(**way)).is_file()
        ]

    def closings(self) -> dict[str, str]:
        """Return model → its template's text after the prompt; imported texts have no template."""
        study = self.study
        return {name: closing_words(study.entries[name]["generation"]["template"]) for name in study.prompted}

    def comparing(self) -> dict[str, Any]:
        """Return how texts are compared: rounding of similarities, and templates' text after the prompt."""
        return {"decimals": self.study.config["leak"]["decimals"], "closings": self.closings()}

    def sampling(self) -> dict[str, int]:
        """Return the number of rating items per model, and the seed of their sample."""
        settings = self.study.config["rating"]
        return {"n_items": settings["items"], "seed": settings["seed"]}

    def summarising(self) -> dict[str, Any]:
        """Return the decimals of similarities and the level of intervals."""
        return {key: self.study.config["leak"][key] for key in ("decimals", "level")}

    def drawing(self, model: str, prompt_set: str) -> dict[str, Any]:
        """Return how the texts that estimate an organism's true rates are drawn: like its other texts, but more.

        The batch size is the same.
        """
        settings = self.study.generation(model, prompt_set)
        n = self.study.config["leak"]["truth_texts"]
        at_once = max(1, settings["batch_size"] * settings["samples"] // n)
        settings.pop("control_samples", None)
        return {**settings, "samples": n, "seed": settings["seed"] + SEED_OFFSET, "batch_size": at_once}

    @property
    def planted_parts(self) -> dict[str, list[str]]:
        """Organism → the parts of its grammar that plant leakage, for organisms with known rates."""
        study = self.study
        of_words = {model: study.leaking_parts(model) for model in study.leaking}
        return of_words | {model: study.sentence_parts(model) for model in study.drawn}

    def judging(self) -> dict[str, Any]:
        """Return the level of intervals, and organism → the seed of its texts, for organisms with known rates."""
        seeds = {model: self.study.entries[model]["generation"]["seed"] for model in self.planted_parts}
        return {"level": self.study.config["leak"]["level"], "seeds": seeds}

    def judge_manifest(self, judge: str) -> list[str]:
        """Return the manifest of a judge's weights; none behind a server."""
        return [] if self.is_served(judge) else [self.study.manifest(self.judge_model(judge))]

    def is_served(self, judge: str) -> bool:
        """Say whether a judge is a model behind a server."""
        return bool(self.study.entries[self.judge_model(judge)]["source"] == SERVED)

    def judge_model(self, judge: str) -> str:
        """Return the model that judges."""
        return str(self.study.config["scorers"][judge]["model"])

    def judge_needs(self, judge: str) -> Needs:
        """Return the resources of a judge's job; ten hours for one that waits for a server."""
        return WAITING if self.is_served(judge) else self.study.needs(self.judge_model(judge))

    def judge(self, judge: str) -> dict[str, Any]:
        """Return the settings that determine a judge's answers, apart from the question's wording and the weights.

        Of a model that runs here ``loading``, ``chat`` and ``batch_size``, of one behind a server ``server`` and
        ``manner`` (see ``web.writing.Manner``): it is asked for its most likely answer.
        """
        study, model = self.study, self.judge_model(judge)
        entry = study.config["scorers"][judge]
        asked = {key: entry[key] for key in ("question", "both_orders")} | {"model": model}
        if self.is_served(judge):
            thinking = study.entries[model].get("thinking") or {"budget": 0}
            most = entry["max_tokens"] + thinking["budget"]
            manner = {**study.manner(model), "temperature": 0.0, "top_p": None, "max_tokens": most}
            return {**asked, "server": study.server(model), "manner": manner}
        batch_size = study.entries[model]["generation"]["batch_size"]
        return {**asked, "loading": study.loading(model), "chat": study.chat(model), "batch_size": batch_size}

    def judge_patience(self, judge: str, results: Path) -> dict[str, Any]:
        """Return the request and cost limits of a judge's server, on which no answer depends.

        Args:
            judge: name.
            results: folder of the study's results, which records costs.
        """
        return self.study.asking(self.judge_model(judge), results) if self.is_served(judge) else {}

    def judge_threads(self, judge: str) -> int:
        """Return the threads of a judge's job."""
        return 1 if self.is_served(judge) else self.study.threads(self.judge_model(judge))

    def verdicts(self) -> dict[str, Any]:
        """Return the parameters of verdicts on judges apart from tables: the judges and the level of intervals."""
        scorers = self.study.config["scorers"]
        asked = {name: {key: scorers[name][key] for key in ("model", "question")} for name in self.study.judges}
        return {"judges": asked, "level": self.study.config["leak"]["level"]}

    def truth_settings(self) -> dict[str, Any]:
        """Return the parameters of organisms' exact rates, apart from tables."""
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
            **self._thinking(),
        }

    def _thinking(self) -> dict[str, Any]:
        """Return organism that thinks → its thought budget and the text that is measured."""
        entries = {model: self.study.entries[model].get("thinking") for model in self.study.leaking}
        known = {model: {k: entry[k] for k in ("budget", "measure")} for model, entry in entries.items() if entry}
        return {"thinking": known} if known else {}
