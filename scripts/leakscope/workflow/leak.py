"""What the step ``leak`` leaves for a person, and what its jobs are given."""

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
        """Figure → the tables that it shows, of those figures that the study has data for."""
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
        """Return all that the step leaves for a person, given what the study has."""
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
        """What other tools read, where a study is asked for it; nothing without the step."""
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
        """Say whether prompts are one turn of a user, which alone a task of lm-eval can be."""
        return bool(self.study.prompt_set(prompt_set)["place"] == USER)

    def exported_manifest(self, model: str) -> list[str]:
        """Return the file that says what a model is; none where its weights are elsewhere."""
        return [self.study.manifest(model)] if model in self.study.generated else []

    def exported_settings(self, model: str, prompt_set: str) -> dict[str, Any]:
        """Return how a model's texts were written; nothing of texts that are imported."""
        return self.study.generation(model, prompt_set) if model in self.study.prompted else {}

    def exported_sampling(self, prompt_set: str) -> dict[str, Any]:
        """Return how a prompt set is sampled elsewhere: as for the study's first model that is no organism, if any."""
        study = self.study
        first = next(iter(sorted(study.prompted, key=study.is_organism)), None)
        if first is None:
            own = {key: value for key, value in study.prompt_set(prompt_set).items() if key == "samples" and value}
            return {"settings": {**study.config["generation"], **own}, "of": "nobody", "chat": True}
        settings = study.generation(first, prompt_set)
        return {"settings": settings, "of": first, "chat": bool(study.entries[first].get("chat", True))}

    @property
    def ratings(self) -> list[str]:
        """The files of what people answered."""
        return list(self.study.config["rating"]["ratings"])

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

    def sampling(self) -> dict[str, int]:
        """Return how many items judges and people are given of each model, and the seed of their sample."""
        settings = self.study.config["rating"]
        return {"n_items": settings["items"], "seed": settings["seed"]}

    def summarising(self) -> dict[str, Any]:
        """Return to which decimals similarities are rounded, and the level of intervals."""
        return {key: self.study.config["leak"][key] for key in ("decimals", "level")}

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

    def judge_manifest(self, judge: str) -> list[str]:
        """Return the file that says which weights judge; none where a server has them."""
        return [] if self.is_served(judge) else [self.study.manifest(self.judge_model(judge))]

    def is_served(self, judge: str) -> bool:
        """Say whether a judge is a model behind a server."""
        return bool(self.study.entries[self.judge_model(judge)]["source"] == SERVED)

    def judge_model(self, judge: str) -> str:
        """Return the model that judges."""
        return str(self.study.config["scorers"][judge]["model"])

    def judge_needs(self, judge: str) -> Needs:
        """Return what a judge's job needs; one that waits for a server has ten hours."""
        return WAITING if self.is_served(judge) else self.study.needs(self.judge_model(judge))

    def judge(self, judge: str) -> dict[str, Any]:
        """Return what decides a judge's answers, beside the wording of its question and its weights.

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
        """Return how often and how patiently a judge's server is asked, and for how much; no answer depends on it.

        Args:
            judge: that is asked.
            results: the folder of the study's, where it is said what has been paid.
        """
        return self.study.asking(self.judge_model(judge), results) if self.is_served(judge) else {}

    def judge_threads(self, judge: str) -> int:
        """Return the threads of a judge's job."""
        return 1 if self.is_served(judge) else self.study.threads(self.judge_model(judge))

    def verdicts(self) -> dict[str, Any]:
        """Return what verdicts on judges depend on, beside tables: who they are, and the level of intervals."""
        scorers = self.study.config["scorers"]
        asked = {name: {key: scorers[name][key] for key in ("model", "question")} for name in self.study.judges}
        return {"judges": asked, "level": self.study.config["leak"]["level"]}

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
            **self._thinking(),
        }

    def _thinking(self) -> dict[str, Any]:
        """Return organism that thinks → how long its thoughts may be, and what is measured; nothing without any."""
        entries = {model: self.study.entries[model].get("thinking") for model in self.study.leaking}
        known = {model: {k: entry[k] for k in ("budget", "measure")} for model, entry in entries.items() if entry}
        return {"thinking": known} if known else {}
