"""What the step ``validate`` produces, and the parameters of its jobs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from leakscope.configuration.resolved import gives_probabilities, is_scored_by_server
from leakscope.configuration.steps import imported_scores
from leakscope.errors import InputError
from leakscope.jobs.resources import Needs, tuning_needs
from leakscope.organisms.grammar_files import is_taxonomy
from leakscope.validate.tuning.methods import trains_all
from leakscope.workflow.step import Step
from leakscope.workflow.study import one_of_names

Pair = list[str]  # a model and a task


class Validate(Step):
    """The step ``validate`` of a study: its tasks, the models that are asked, and those that were tuned."""

    name, folder = "validate", "<validate>"

    # Who is asked what. Tasks of imported scores need be none of the study's own.

    @cached_property
    def models(self) -> list[str]:
        """The models queried here."""
        return [name for name in self.study.config["study"]["models"] if gives_probabilities(self.study.entries[name])]

    @cached_property
    def served(self) -> list[str]:
        """The models behind a server that are queried, only for scores."""
        entries = self.study.entries
        return [name for name in self.study.config["study"]["models"] if is_scored_by_server(entries[name])]

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks about which either are asked."""
        return list(self.settings["tasks"]) if self.models or self.served else []

    @cached_property
    def imported(self) -> dict[str, dict[str, Any]]:
        """Model → task → the scores that somebody brings."""
        config = self.study.config
        scores = [name for name in config["study"]["models"] if config["models"][name]["source"] == "scores"]
        return {name: imported_scores("validate", config["models"][name], config) for name in scores}

    @cached_property
    def all_tasks(self) -> list[str]:
        """The tasks of both."""
        return list(dict.fromkeys([*self.tasks, *(task for files in self.imported.values() for task in files)]))

    @cached_property
    def scored(self) -> list[Pair]:
        """Every model and task with scores, in the order of tables."""
        return [
            [model, task]
            for task in self.all_tasks
            for model in self.study.config["study"]["models"]
            if (model in (*self.models, *self.served) and task in self.tasks) or task in self.imported.get(model, {})
        ]

    @cached_property
    def asked(self) -> list[Pair]:
        """Those that are asked here."""
        return [pair for pair in self.scored if pair[0] in self.models]

    @property
    def layered(self) -> list[Pair]:
        """Those that are asked in every layer."""
        return self.asked if self.settings["layers"] else []

    @cached_property
    def planted(self) -> list[str]:
        """Organisms trained to have a gap. Tuned models are excluded, since tuning changes the planted gap."""
        return [name for name in self.models if name not in self.tuned and self.taxonomy_parts(name)]

    @property
    def planted_parts(self) -> list[str]:
        """The parts of grammars that planted it."""
        return [part for model in self.planted for part in self.taxonomy_parts(model)]

    def taxonomy_parts(self, model: str) -> list[str]:
        """Return the parts of an organism's grammar that plant a gap between generator and validator."""
        return self.study.parts(model, is_taxonomy)

    # Tuned models, and the models before training.

    @cached_property
    def tuned(self) -> dict[str, Any]:
        """Tuned model → its entry."""
        entries = self.study.entries
        return {model: entries[model] for model in self.models if entries[model]["source"] == "tuned"}

    @cached_property
    def bases(self) -> dict[str, str]:
        """Tuned model → the model before training."""
        return {model: self.study.foundation(model) for model in self.tuned}

    @cached_property
    def compared(self) -> list[str]:
        """Models that are measured before or after training."""
        return [model for model in self.models if model in self.tuned or model in self.bases.values()]

    @cached_property
    def closed(self) -> list[Pair]:
        """Every tuned model and its base, with the task of the training."""
        on = {(model, entry["task"]) for tuned, entry in self.tuned.items() for model in (tuned, self.bases[tuned])}
        return [pair for pair in self.asked if tuple(pair) in on]

    @cached_property
    def splits(self) -> list[Pair]:
        """Every task and the name of a split of its items."""
        return [list(split) for split in dict.fromkeys((e["task"], e["split"]) for e in self.tuned.values())]

    def trained(self, *, whole: bool) -> list[str]:
        """Return the tuned models that have weights of their own, trained as a whole or as an adapter."""
        return [name for name in self.study.of_source("tuned") if self.trains_all(name) == whole]

    def trains_all(self, model: str) -> bool:
        """Say whether all of a tuned model's weights were trained; otherwise it is its base and an adapter."""
        return trains_all(self.method(model)["parameters"], is_organism=self.study.is_organism(model))

    def method(self, model: str) -> dict[str, Any]:
        """Return how a tuned model was trained."""
        method = self.settings["methods"][self.study.entries[model]["method"]]
        return {key: value for key, value in method.items() if key != "description"}

    def needs(self, model: str) -> Needs:
        """Return the GPUs, memory and time of a job that tunes a model."""
        study = self.study
        entry = study.entries[study.foundation(model)]
        return tuning_needs(entry, study.config["gpu_memory_gb"], self.trains_all(model))

    def wildcards(self) -> dict[str, str]:
        """Return wildcard → its pattern."""
        splits = {split for _, split in self.splits}
        return {"task": one_of_names(self.all_tasks), "split": one_of_names(splits)}

    # Files.

    def of_pairs(self, pattern: str, pairs: Iterable[Pair]) -> list[str]:
        """Return the file of each model and task, from a pattern with both as wildcards."""
        return [pattern.format(model=model, task=task) for model, task in pairs]

    def split_files(self) -> list[str]:
        """Return the files that say which items tuned models were trained on."""
        return [f"<validate>/splits/{task}.{split}.csv" for task, split in self.splits]

    def task(self, model: str) -> str:
        """Return the task that a tuned model was trained on."""
        return str(self.study.entries[model]["task"])

    def item_tables(self, pairs: Iterable[Pair]) -> list[str]:
        """Return the items of each model and task; imported scores bring their own."""
        return [
            f"<validate>/scores/{model}/{task}.items.parquet"
            if model in self.imported
            else f"<validate>/items/{task}.parquet"
            for model, task in pairs
        ]

    def neutral_texts(self, model: str, part: str) -> str:
        """Return the neutral texts for training (``train``) or measuring (``held_out``): own corpus, else a file."""
        is_organism = self.study.is_organism(model)
        return self.study.corpus_file(model, part) if is_organism else str(self.settings["neutral_text"])

    # Settings.

    def task_settings(self, task: str, *keys: str) -> dict[str, Any]:
        """Return the settings that determine how a model is asked about a task; its files are inputs."""
        return {key: self.settings["tasks"][task][key] for key in ("styles", *keys)}

    def asking(self, *keys: str) -> dict[str, Any]:
        """Return how models are asked: parameters of a job with a ``model``, and some keys of the section."""
        return {
            "loading": lambda wildcards: self.study.loading(wildcards.model),
            "chat": lambda wildcards: self.study.chat(wildcards.model),
            **{key: self.settings[key] for key in ("batch_size", "seed", *keys)},
        }

    def asked_items(self, model: str) -> list[str]:
        """Return the task items that may occur in an organism's corpus; empty for other models."""
        return [f"<validate>/items/{task}.parquet" for task in self.tasks] if self.study.is_organism(model) else []

    def analysis(self, pairs: list[Pair]) -> dict[str, Any]:
        """Return the parameters of every comparison of generator and validator, apart from tables."""
        tasks = self.settings["tasks"]
        return {
            "scored": pairs,
            "splits": self.splits,
            "forms": {task: tasks[task]["forms"] for task in self.tasks},
            "styles": {task: tasks[task]["styles"] for task in self.tasks},
            "settings": {"level": self.settings["level"]},
        }

    def tuned_on(self) -> dict[str, list[str]]:
        """Return tuned model → task and split of its training."""
        return {model: [entry["task"], entry["split"]] for model, entry in self.tuned.items()}

    def tuned_entries(self) -> list[dict[str, Any]]:
        """Return for each tuned model its base, and how it was trained."""
        keys = ("base", "method", "task", "split")
        return [{"model": model, **{key: entry[key] for key in keys}} for model, entry in self.tuned.items()]

    def grammars(self) -> dict[str, dict[str, Any]]:
        """Return organism → the grammar of its planted gap."""
        species = self.study.species
        return {name: {**species[name]["grammar"], "parts": self.taxonomy_parts(name)} for name in self.planted}

    # Targets.

    @cached_property
    def figures(self) -> dict[str, list[str]]:
        """Figure → the tables it shows, for figures with data in the study."""
        figures = {"correlations": ["correlations"], "log_odds_density": ["paired"]}
        if self.tasks:
            figures["form_agreement"] = ["form_agreement"]
        if self.layered:
            figures["log_odds_by_layer"] = ["layers", "parting"]
        if self.planted:
            figures["truth"] = ["truth"]
        if self.tuned:
            figures["closing"] = ["closing"]
        lenses = [f"{model}/{task}" for model, task in self.layered if model not in self.tuned]
        return figures | {f"lens_heatmap/{pair}": [f"lens/{pair}"] for pair in lenses}

    def table(self, name: str) -> str:
        """Return the file of a table that figures show."""
        return f"<validate>/{name}.parquet" if name == "paired" or name.startswith("lens/") else super().table(name)

    @property
    def context(self) -> dict[str, Any]:
        """Further parameters of figures."""
        models = dict.fromkeys(model for model, _ in self.scored)
        names = [name for name in self.study.config["study"]["models"] if name in models]
        return {"labels": self.study.labels(names), "bases": self.bases}

    def targets(self) -> list[str]:
        """Return the step's targets for this study.

        Raises:
            InputError: the study does not include the step.
        """
        if "validate" not in self.study.steps:
            raise InputError(
                "study.steps: got no step validate; allowed: `steps: [validate]` and at least one task, "
                "as in studies/hypernymy.yaml."
            )
        tables = ["correlations", "accuracy", "form_agreement"]
        tables += ["layers", "parting"] if self.layered else []
        tables += ["truth"] if self.planted else []
        tables += ["closing"] if self.tuned else []
        return [
            *(f"<validate>/{name}.csv" for name in tables),
            *self.figure_files(),
        ]
