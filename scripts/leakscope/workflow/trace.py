"""What the step ``trace`` produces, and the parameters of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from leakscope.configuration.mitigated import DECODING, FEATURES, TUNING, mitigable
from leakscope.counting.units import AS_IMPORTED, MENTIONS
from leakscope.errors import InputError
from leakscope.jobs.resources import Needs, tuning_needs
from leakscope.workflow.features import Features
from leakscope.workflow.step import Step
from leakscope.workflow.study import Study, one_of_names
from leakscope.workflow.traced import counted_as

Pair = tuple[str, str]  # a model and a prompt set
Trial = tuple[str, str, str]  # and a mitigation

# Part of the step → the tables that it is.
PARTS = {
    "links": ["links", "relations", "templates", "features", "empty_links"],
    "patching": ["patching", "patching_by_category", "patching_heads", "patching_pairs"],
    "mitigations": ["mitigations"],
}
# What decides which texts a model writes, and nothing that it is asked here.
OF_TEXTS = ("samples", "control_samples", "seed", "shards")
# What an organism is called, and nothing that it is.
CALLED = ("label", "description", "weights")
SITES = ("concept", "between", "last", "all")
TASKS = "mitigations_tasks"
NONE = "none"  # the mitigation that changes nothing, beside which all others stand
# What is said to people only, and decides no result.
REMARKS = ("label", "description")
TRYING = 4  # times as long as one run takes a job that tries a mitigation at many strengths
FIGURES = {
    "trace": ["links", "relations", "patching"],
    "relations": ["relations"],
    "patching": ["patching"],
    "frontier": ["mitigations"],
}
NO_STEP = (
    "study.steps: got no step trace; allowed: `steps: [trace]` and a prompt set that is made from templates, as in "
    "studies/trace.yaml."
)
NOTHING_TRIED = (
    "trace.mitigations: got nothing; allowed: at least one name of `mitigations`, as in studies/mitigations.yaml."
)


class Trace(Step):
    """The step ``trace`` of a study: associations of prompt sets from templates, in models that run here."""

    name, folder = "trace", "<trace>"

    @cached_property
    def models(self) -> list[str]:
        """The models in which associations are followed; none where the study does not include the step."""
        return self.study.answering if "trace" in self.study.steps else []

    @property
    def sets(self) -> list[str]:
        """The prompt sets whose associations are followed."""
        return self.study.templated

    @property
    def pairs(self) -> list[Pair]:
        """Every model with every prompt set, in the same order."""
        return [(model, prompt_set) for model in self.models for prompt_set in self.sets]

    @cached_property
    def mitigating(self) -> Mitigating:
        """The mitigations tried on these models."""
        return Mitigating(self)

    @property
    def patched(self) -> list[Pair]:
        """Every model for activation patching with every prompt set, without mitigated models."""
        entries = self.study.entries
        return [pair for pair in self.pairs if entries[pair[0]]["source"] != "mitigated"]

    @property
    def parts(self) -> list[str]:
        """The parts of the step that are targets; the page is a rule's."""
        return list(PARTS)

    @staticmethod
    def files(pattern: str, pairs: Iterable[Pair]) -> list[str]:
        """Return a file of each model and prompt set, from a pattern with both."""
        return [pattern.format(model=model, prompt_set=prompt_set) for model, prompt_set in pairs]

    # Prompting of models.

    @property
    def asking(self) -> dict[str, Callable[[Any], Any]]:
        """Parameter → function of a job's wildcards: how a model is loaded and prompted."""
        study = self.study
        return {
            "loading": lambda w: study.loading(w.model),
            "chat": lambda w: study.chat(w.model, getattr(w, "templated", None)),
            "settings": lambda w: self.prompting(w.model),
        }

    def prompting(self, model: str) -> dict[str, Any]:
        """Return a model's prompting, the same as for generation."""
        settings = self.study.entries[model]["generation"]
        return {key: value for key, value in settings.items() if key not in OF_TEXTS}

    @property
    def swapping(self) -> dict[str, Any]:
        """Parameter → what it is for jobs that patch: also between how many pairs, drawn by the seed of texts."""

        def settings(w: Any) -> dict[str, Any]:
            return {**self.prompting(w.model), "seed": self.study.entries[w.model]["generation"]["seed"]}

        return {
            **self.asking,
            "settings": settings,
            "n_pairs": self.settings["patching"]["pairs"],
            "sites": list(SITES),
            "heads": self.settings["patching"]["heads"],
        }

    @cached_property
    def ablated(self) -> list[tuple[str, Pair]]:
        """Every dictionary of a traced model, with the model and each prompt set."""
        found = Features(self.study).dictionaries.items() if self.models else []
        own = [(name, entry["model"]) for name, entry in found if entry["model"] in self.models]
        return [(name, (model, prompt_set)) for name, model in own for prompt_set in self.sets]

    @property
    def ablating(self) -> dict[str, Any]:
        """Parameter → what it is for jobs that ablate features of a dictionary in its model."""
        features = Features(self.study)

        def model(w: Any) -> str:
            return features.model(**w)

        return {
            "loading": lambda w: self.study.loading(model(w)),
            "chat": lambda w: self.study.chat(model(w), w.templated),
            "settings": lambda w: self.prompting(model(w)),
            "model": model,
            "n_features": self.settings["features"],
        }

    def ablated_files(self) -> list[str]:
        """Return the file of each of these."""
        return [f"<trace>/ablated/{name}/{prompt_set}.parquet" for name, (_, prompt_set) in self.ablated]

    # Files on prompt sets.

    @property
    def cued(self) -> list[str]:
        """The prompt sets that have cues."""
        return [name for name in self.sets if self.settings["sets"].get(name, {}).get("cues")]

    def cue_file(self, prompt_set: str) -> str:
        """Return the file of a prompt set's cues."""
        return str(self.settings["sets"][prompt_set]["cues"])

    @property
    def cue_scored(self) -> list[Pair]:
        """Every model with every one of these."""
        return [pair for pair in self.pairs if pair[1] in self.cued]

    # Counts.

    @cached_property
    def axes(self) -> dict[Pair, str]:
        """Model and prompt set → the axis of ``ground`` that counts its pairs, of those that are counted."""
        found = {(model, prompt_set): counted_as(self.study, model, prompt_set) for model, prompt_set in self.pairs}
        return {pair: axis for pair, axis in found.items() if axis is not None}

    @property
    def totalled(self) -> dict[Pair, str]:
        """The pairs with counts of single terms, which imported tables lack."""
        return {pair: axis for pair, axis in self.axes.items() if self._counted_from(*pair) != "table"}

    @property
    def in_corpora(self) -> list[Pair]:
        """The pairs counted in corpus files, whose sentences can be shown."""
        return [pair for pair in self.axes if self._counted_from(*pair) in ("organism", "corpus")]

    @property
    def indexed(self) -> dict[str, list[str]]:
        """Prompt set → the models counted in a server's index, which gives excerpts of its documents."""
        found: dict[str, list[str]] = {}
        for model, prompt_set in self.axes:
            if self._counted_from(model, prompt_set) == "infini_gram":
                found.setdefault(prompt_set, []).append(model)
        return found

    def axis_of_index(self, prompt_set: str) -> str:
        """Return the axis that counts a prompt set in an index."""
        return self.axes[self.indexed[prompt_set][0], prompt_set]

    def _counted_from(self, model: str, prompt_set: str) -> str:
        if self.study.is_organism(model):
            return "organism"
        return str(self.settings["sets"][prompt_set]["counts"]["source"])

    def _counted_as(self, model: str, prompt_set: str) -> dict[str, Any]:
        """Return the window and the unit of a pair's counts, as their source has them."""
        window, source = self.settings["window"], self._counted_from(model, prompt_set)
        if source == "infini_gram":
            return {"window": window, "unit": MENTIONS}
        if source == "table":
            counts = self.settings["sets"][prompt_set]["counts"]
            return {"window": window if isinstance(counts["path"], dict) else counts["window"], "unit": AS_IMPORTED}
        return {"window": window, "unit": self.study.config["ground"]["unit"]}

    # Organisms, whose planted associations are known exactly.

    @cached_property
    def planted(self) -> dict[str, dict[str, Any]]:
        """Organism → its grammar, for organisms trained only to leak in bare words."""
        study = self.study
        return {
            model: {**study.entries[model]["grammar"], "parts": study.leaking_parts(model)}
            for model in self.models
            if model in study.leaking and list(study.entries[model]["grammar"]["parts"]) == study.leaking_parts(model)
        }

    @property
    def retrained(self) -> dict[str, dict[str, Any]]:
        """Organism without some associations → ``base``, otherwise equal but with them, and their ``groups``."""
        found = {}
        for model, entry in ((model, self.study.entries[model]) for model in self.planted):
            if groups := entry["grammar"].get("except"):
                base = next((other for other in self.planted if self._has_all_of(other, entry)), None)
                if base is not None:
                    found[model] = {"base": base, "groups": groups}
        return found

    def _has_all_of(self, organism: str, entry: Mapping[str, Any]) -> bool:
        """Return whether an organism equals an entry except that no association is removed from its corpus."""
        whole = {**entry, "grammar": {key: value for key, value in entry["grammar"].items() if key != "except"}}
        own = self.study.entries[organism]
        return all(own[key] == whole[key] for key in whole if key not in CALLED)

    @property
    def grammar_files(self) -> list[str]:
        """The files of these grammars."""
        return self.study.grammar_files(part for grammar in self.planted.values() for part in grammar["parts"])

    @property
    def scorer(self) -> str | None:
        """The scorer of the link ``match``: the study's primary one; None without the step ``leak``."""
        if "leak" not in self.study.steps:
            return None
        return str((self.study.config["leak"]["primary"]["scorers"] or self.study.scorers)[0])

    def linking(self) -> dict[str, Any]:
        """Return the parameters of the table of links apart from tables, in the order of the rule's inputs."""
        return {
            "prompt_sets": self.sets,
            "scored": [list(pair) for pair in self.pairs],
            "cued": self.cued,
            "cue_scored": [list(pair) for pair in self.cue_scored],
            "counted": [
                {"model": model, "prompt_set": prompt_set, **self._counted_as(model, prompt_set)}
                for model, prompt_set in self.axes
            ],
            "totalled": [list(pair) for pair in self.totalled],
            "lensed": [list(pair) for pair in self.pairs],
            "ablated": [list(pair) for _, pair in self.ablated],
            "grammars": self.planted,
            "scorer": self.scorer,
            "removed": self.mitigating.removed,
            "level": self.settings["level"],
        }

    # Targets.

    @cached_property
    def figures(self) -> dict[str, list[str]]:
        """Figure → the tables it shows."""
        tried = bool(self.mitigating.trials)
        return {name: tables for name, tables in FIGURES.items() if self.models and (tried or name != "frontier")}

    @property
    def context(self) -> dict[str, Any]:
        """Further parameters of figures."""
        kept = {"kept": self.settings["mitigating"]["kept"]} if self.mitigating.trials else {}
        return {"labels": self.study.labels(self.models), **kept}

    @property
    def written(self) -> list[Pair]:
        """Every model and prompt set with texts: none without the step ``leak``."""
        return self.pairs if "leak" in self.study.steps else []

    def page(self) -> dict[str, Any]:
        """Return the page's parameters apart from tables."""
        real = [model for model in self.models if not self.study.is_organism(model)]
        return {
            "study": self.study.name,
            "labels": self.study.labels([*real, *(model for model in self.models if model not in real)]),
            "organisms": list(self.planted),
            "level": self.settings["level"],
            "features": {model: self._feature_pages(model) for model in self.models},
            "retrained": self.retrained,
            "texts": [list(pair) for pair in self.written],
            "removed": self.mitigating.removed,
            "mitigations": self.mitigating.labels,
        }

    def _feature_pages(self, model: str) -> dict[str, str]:
        """Return dictionary of a model → the page of its features, as this step's page links to it."""
        features = Features(self.study)
        own = [name for name, entry in features.dictionaries.items() if entry["model"] == model]
        return {name: f"../features/{features.page(name)}" for name in own}

    def tables_of(self, part: str) -> list[str]:
        """Return the tables of a part: for mitigations also their cost on lm-eval tasks, if any."""
        tasks = [TASKS] if part == "mitigations" and self.mitigating.harnessed else []
        return [*PARTS[part], *tasks]

    def targets(self, part: str | None = None) -> list[str]:
        """Return the targets of the step or of a part of it.

        Raises:
            InputError: the study does not include the step.
        """
        if not self.models:
            raise InputError(NO_STEP)
        if part == "mitigations" and not self.mitigating.trials:
            raise InputError(NOTHING_TRIED)
        if part is not None:
            return [self.table(name) for name in self.tables_of(part)]
        parts = [part for part in PARTS if part != "mitigations" or self.mitigating.trials]
        tables = [self.table(name) for part in parts for name in self.tables_of(part)]
        return [*tables, *self.figure_files(), f"{self.folder}/index.html"]


@dataclass(frozen=True, eq=False)
class Mitigating:
    """The mitigations of the step ``trace``, and the parameters of their jobs."""

    trace: Trace

    @property
    def study(self) -> Study:
        """The study of these models."""
        return self.trace.study

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of how mitigations are tuned, selected and measured."""
        settings: Mapping[str, Any] = self.trace.settings["mitigating"]
        return settings

    @property
    def entries(self) -> Mapping[str, Mapping[str, Any]]:
        """Mitigation → its entry, for mitigations that the study tries."""
        entries: Mapping[str, Mapping[str, Any]] = self.study.config["mitigations"] if self.trace.models else {}
        return entries

    @property
    def labels(self) -> dict[str, str]:
        """Mitigation → display name, in the study's order."""
        return {name: self.entries[name]["label"] for name in self.trace.settings["mitigations"] if self.entries}

    @cached_property
    def models(self) -> list[str]:
        """The models that mitigations are tried on."""
        return [name for name in self.trace.models if mitigable(self.study.entries, name)] if self.entries else []

    @cached_property
    def trials(self) -> list[Trial]:
        """Every model and prompt set with every mitigation tried, and with none, in this order."""
        return [
            (model, prompt_set, mitigation)
            for model in self.models
            for prompt_set in self.trace.sets
            for mitigation in (NONE, *self.labels)
            if self._dictionary_model(mitigation) in (None, model)
        ]

    @property
    def harnessed(self) -> list[Trial]:
        """The trials scored on lm-eval tasks, without decoding, which changes only prompts of its own set."""
        tried = self.trials if self.harness["tasks"] else []
        return [trial for trial in tried if self.entry(trial[2])["kind"] != DECODING]

    def files(self, pattern: str, *, harnessed: bool = False) -> list[str]:
        """Return a file of each of these, or of all that are tried."""
        trials = self.harnessed if harnessed else self.trials
        return [pattern.format(model=model, prompt_set=name, mitigation=tried) for model, name, tried in trials]

    @property
    def names(self) -> str:
        """The pattern of a mitigation's name."""
        return one_of_names([NONE, *self.labels]) if self.labels else one_of_names([])

    # What jobs are given.

    def use_file(self, prompt_set: str) -> str:
        """Return the file of prompts of use of a set."""
        return str(self.trace.settings["sets"][prompt_set]["use"])

    def has_use(self, prompt_set: str) -> bool:
        """Return whether a set has prompts of use; without them, use is not measured."""
        return bool(self.trace.settings["sets"].get(prompt_set, {}).get("use"))

    def use_table(self, prompt_set: str, suffix: str) -> str | list[str]:
        """Return the table of these prompts, or of their candidates; nothing where there is no file of them."""
        return f"<trace>/use/{prompt_set}{suffix}" if self.has_use(prompt_set) else []

    def neutral(self, model: str) -> str:
        """Return the file of neutral texts, whose likelihood a mitigation should not change."""
        is_organism = self.study.is_organism(model)
        return self.study.corpus_file(model, "held_out") if is_organism else str(self.settings["neutral"])

    def dictionary_file(self, mitigation: str, file: str) -> str | list[str]:
        """Return a file of the dictionary that a mitigation edits features of; nothing where it has none."""
        name = self._dictionary(mitigation)
        return [] if name is None else f"<features>/dictionaries/{name}/{file}"

    def grammar_files(self, model: str) -> list[str]:
        """Return the files of the grammar by which an organism leaks; none of other models."""
        return self.study.grammar_files(self.trace.planted.get(model, {}).get("parts", []))

    def needs(self, trial: Pair) -> Needs:
        """Return what a job takes that tries a mitigation on a model."""
        model, mitigation = trial
        study, entry = self.study, self.entries.get(mitigation, {})
        needs = study.needs(model)
        if entry.get("kind") == TUNING:
            tuned = tuning_needs(study.entries[study.foundation(model)], study.config["gpu_memory_gb"], full=False)
            needs = needs._replace(gpus=max(needs.gpus, tuned.gpus), memory_mb=max(needs.memory_mb, tuned.memory_mb))
        return needs._replace(minutes=TRYING * needs.minutes)

    @property
    def trying(self) -> dict[str, Any]:
        """Parameter → what it is, or what it is for a job's wildcards."""
        kept = ("costs", "shares", "kept", "batch_size", "seed")
        return {
            **self.trace.asking,
            **{key: self.settings[key] for key in kept},
            "entry": lambda w: self.entry(w.mitigation),
            "is_own": lambda w: self.study.is_organism(w.model),
            "grammar": lambda w: self.trace.planted.get(w.model),
        }

    def entry(self, mitigation: str) -> dict[str, Any]:
        """Return the settings that determine a mitigation."""
        entry = self.entries.get(mitigation, {"kind": NONE})
        return {key: value for key, value in entry.items() if key not in REMARKS}

    @property
    def matched(self) -> dict[str, list[str]]:
        """Wildcards of the match units by the scorer that stands for texts: none without the step ``leak``."""
        scorer = self.trace.scorer
        return {"prompt_set": self.trace.sets if self.trials else [], "scorer": [] if scorer is None else [scorer]}

    @property
    def written(self) -> list[Pair]:
        """Every model with and without a mitigation and prompt set with texts."""
        models = {*self.models, *(self.mitigated if self.models else ())}
        return [pair for pair in self.trace.written if pair[0] in models]

    def summarising(self) -> dict[str, Any]:
        """Return what the table of mitigations depends on, beside tables."""
        keys = ("base", "prompt_set", "mitigation", "cost")
        return {
            "costs": self.settings["costs"],
            "kept": self.settings["kept"],
            "level": self.trace.settings["level"],
            "written": [list(pair) for pair in self.written],
            "mitigated": [
                {"model": model, **{key: entry[key] for key in keys}} for model, entry in self.mitigated.items()
            ],
        }

    # Tasks of lm-eval.

    @property
    def harness(self) -> Mapping[str, Any]:
        """Which tasks there are."""
        harness: Mapping[str, Any] = self.trace.settings["lm_eval"]
        return harness

    @property
    def highest_cost(self) -> float:
        """What a mitigation may cost, in percent of perplexity, that is put to tasks."""
        return float(max(self.settings["costs"]))

    def harness_files(self) -> list[str]:
        """Return the files of tasks of one's own."""
        folder = self.harness["folder"] if self.harnessed else None
        return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file()) if folder else []

    def chosen_file(self, model: str, templated: str, mitigation: str) -> str | list[str]:
        """Return the file that says what was chosen of a mitigation; nothing of the model as it is."""
        return [] if mitigation == NONE else f"<trace>/mitigations/{model}/{templated}/{mitigation}.json"

    @property
    def put_to_tasks(self) -> dict[str, Any]:
        """Parameter → what it is, or what it is for a job's wildcards."""
        return {
            **{key: self.trace.asking[key] for key in ("loading", "chat")},
            **self.harness,
            "batch_size": self.settings["batch_size"],
            "cost": self.highest_cost,
            "entry": lambda w: self.entry(w.mitigation),
        }

    # Models with what was found.

    @cached_property
    def mitigated(self) -> dict[str, Mapping[str, Any]]:
        """Mitigated model of the study → its entry."""
        entries = self.study.entries
        return {model: entries[model] for model in self.trace.models if entries[model]["source"] == "mitigated"}

    @property
    def removed(self) -> dict[str, dict[str, str]]:
        """Model → prompt set → the first model that was mitigated by it: what it leaves is the link ``removed``."""
        found: dict[str, dict[str, str]] = {}
        for model, entry in self.mitigated.items():
            found.setdefault(entry["base"], {}).setdefault(entry["prompt_set"], model)
        return found

    def chosen(self, model: str) -> str:
        """Return the file that says what was chosen for a mitigated model."""
        entry = self.study.entries[model]
        return f"<trace>/mitigations/{entry['base']}/{entry['prompt_set']}/{entry['mitigation']}.json"

    def _dictionary(self, mitigation: str) -> str | None:
        entry = self.entries.get(mitigation, {})
        return str(entry["dictionary"]) if entry.get("kind") == FEATURES else None

    def _dictionary_model(self, mitigation: str) -> str | None:
        name = self._dictionary(mitigation)
        return None if name is None else str(Features(self.study).model(dictionary=name))
