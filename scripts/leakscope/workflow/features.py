"""What the step ``features`` produces, and the parameters of its jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import product
from typing import Any

from leakscope.configuration.features import GREEDY, OWN, is_tried, uses_features
from leakscope.errors import InputError
from leakscope.features.bias.tables import bias_files
from leakscope.features.dictionaries.files import contrast_files, corpus_files, dictionary_files, said_layer
from leakscope.jobs.resources import Needs
from leakscope.jobs.sharding import Shard, shards_of
from leakscope.organisms.grammar_files import is_pronoun
from leakscope.workflow.step import Step
from leakscope.workflow.study import one_of_names

Entry = Mapping[str, Any]
Pair = tuple[str, str]

# Which edit an edited model has.
EDIT = ("dictionary", "contrast", "cost", "features", "edit", "coefficient", "positions")
# How prompts are put to a model; other texts of a contrast are read as they are.
PROMPTING = ("system", "template", "max_new_tokens")
TRAINING = ("features", "k", "steps", "batch_size", "learning_rate")
FETCHING = ("release", "folder", "revision", "model", "layer", "centre")
# What is said to people only, and decides no result.
REMARKS = ("label", "description")
# Figures that show the tables of all features, and the one table that is no CSV file.
OF_FEATURES = ("firing_density", "polysemanticity")
COSINES = "seed_agreement"
# What a part of which there is nothing would need.
LACKING = {
    "selection": "features.contrasts: got nothing; allowed: at least one contrast.",
    "effects": "features.contrasts: got nothing; allowed: at least one contrast, and a dictionary that is no control.",
    "steering": "features.steering: got nothing; allowed: at least one, in a file or by "
    "--config 'features={steering: {mine: {dictionary: ..., feature: 12, prompt: \"She said\"}}}'.",
    "bias": "features.benchmarks: got nothing; allowed: at least one data set that you bring.",
}
NO_STEP = (
    "study.steps: got no step features; allowed: `steps: [features]` and at least one dictionary, as in "
    "studies/gpt2_gender.yaml."
)


class Features(Step):
    """The step ``features`` of a study; without dictionaries where the study has no use for them."""

    name, folder = "features", "<features>"

    @cached_property
    def dictionaries(self) -> Mapping[str, Entry]:
        """Dictionary → its entry, one per seed."""
        return self._used("dictionaries")

    @cached_property
    def contrasts(self) -> Mapping[str, Entry]:
        """Contrast → its entry."""
        return self._used("contrasts")

    @cached_property
    def steerings(self) -> Mapping[str, Entry]:
        """Steering → its entry."""
        return self._used("steering")

    @cached_property
    def bias_tests(self) -> Mapping[str, Entry]:
        """Bias test, a data set of sentence pairs such as CrowS-Pairs → its entry."""
        return self._used("benchmarks")

    @property
    def explainers(self) -> list[str]:
        """Names of the explainers."""
        return list(self.settings["explainers"])

    @property
    def selecting(self) -> list[str]:
        """The methods that rank features; ``greedy`` selects among their features by effect."""
        return [method for method in self.settings["effects"]["methods"] if method != GREEDY]

    @property
    def shards(self) -> list[Shard]:
        """The parts of a corpus, one per job."""
        return shards_of(self.settings["shards"])

    @cached_property
    def controls(self) -> list[str]:
        """Dictionaries of models with randomised weights, the controls."""
        entries = self.study.entries
        return [name for name, entry in self.dictionaries.items() if entries[entry["model"]]["source"] == "randomised"]

    @cached_property
    def seeded(self) -> list[str]:
        """Dictionaries with others that differ only in seed."""
        families = [self.dictionaries[name]["family"] for name in self.of_source("trained")]
        return [name for name in self.of_source("trained") if families.count(self.dictionaries[name]["family"]) > 1]

    @property
    def first(self) -> str:
        """The dictionary whose page opens first, never a control; "" if there is none."""
        return min(self.dictionaries, key=lambda name: name in self.controls, default="")

    # Wildcards of all files of a kind, in the order of tables.

    @cached_property
    def contrasted(self) -> dict[str, list[str]]:
        """Wildcards of selection and probing: each dictionary with each contrast it is tested on."""
        pairs = product(self.dictionaries, self.contrasts)
        return _wildcards(pair for pair in pairs if is_tried(pair[0], self.contrasts[pair[1]]))

    @cached_property
    def editable(self) -> dict[str, list[str]]:
        """Wildcards of all effects of edits. A control is not edited."""
        return _wildcards(pair for pair in _pairs(self.contrasted) if pair[0] not in self.controls)

    @cached_property
    def planted(self) -> dict[str, list[str]]:
        """Wildcards of effects in organisms that were taught the contrast's association, so that its gap is known."""
        return _wildcards(
            (dictionary, contrast)
            for dictionary, contrast in _pairs(self.editable)
            if self.contrasts[contrast]["source"] == "templates" and self._occupations(self._model(dictionary))
        )

    def planting(self) -> dict[str, Any]:
        """Return planted associations: wildcards, the grammar of each organism, and each dictionary's model."""
        models = {name: self.model(dictionary=name) for name in self.planted["dictionary"]}
        return {"planted": self.planted, "grammars": self.planted_in, "models": models}

    @property
    def biased(self) -> dict[str, list[str]]:
        """Wildcards of all scores of bias tests."""
        return {"model": self.study.answering, "bias_test": list(self.bias_tests)}

    # Models.

    @cached_property
    def edited(self) -> dict[str, Entry]:
        """Edited model of the study → its base and its edit."""
        entries = {name: self.study.entries[name] for name in self.study.config["study"]["models"]}
        return {
            name: {"base": entry["base"], **self.edit(name)}
            for name, entry in entries.items()
            if entry["source"] == "edited"
        }

    @property
    def compares_edited(self) -> bool:
        """Whether edited models and their bases are both measured: leaks, bias or gaps of a contrast."""
        against_contrasts = any(entry["contrast"] is not None for entry in self.edited.values())
        return bool(self.edited) and ("leak" in self.study.steps or bool(self.bias_tests) or against_contrasts)

    @property
    def planted_in(self) -> dict[str, Entry]:
        """Organism that was taught a contrast's association → its grammar, with the parts that teach it."""
        models = dict.fromkeys(self._model(dictionary) for dictionary in self.planted["dictionary"])
        return {model: {**self.study.species[model]["grammar"], "parts": self._occupations(model)} for model in models}

    def model(self, *, dictionary: str = "", steering: str = "", **_: str) -> str:
        """Return the model of a dictionary or of a steering's dictionary. The arguments are a job's wildcards."""
        return self._model(dictionary or self.steerings[steering]["dictionary"])

    def needs_of_training(self, model: str) -> Needs:
        """Return the resources of a job that trains a dictionary: those of its model, without GPUs."""
        return self.study.needs(model)._replace(gpus=0)

    def needs_of_effects(self, model: str) -> Needs:
        """Return the resources of a job that runs a model for every edit and strength."""
        needs = self.study.needs(model)
        return needs._replace(minutes=4 * needs.minutes)

    def prompting(self, model: str, contrast: str) -> dict[str, Any]:
        """Return the prompting of a contrast from a prompt set; empty for other contrasts."""
        if self.contrasts[contrast]["source"] != "prompt_set":
            return {}
        return {key: self.study.entries[model]["generation"][key] for key in PROMPTING}

    def edit(self, model: str) -> Entry:
        """Return the edit of a model: its own features, or the edit chosen on a contrast at a cost."""
        return {key: self.study.entries[model][key] for key in EDIT}

    def chosen_for(self, model: str) -> dict[str, list[str]]:
        """Return the wildcards of the edits from which an edited model's is chosen: one file, or none."""
        edit = self.edit(model)
        return _wildcards([(edit["dictionary"], edit["contrast"])] if edit["contrast"] else [])

    def named_by(self, model: str) -> list[str]:
        """Return the dictionary whose features an edited model names; empty if its edit is chosen."""
        edit = self.edit(model)
        return [edit["dictionary"]] if edit["features"] else []

    # Entries, less remarks.

    def contrast(self, name: str) -> dict[str, Any]:
        """Return the settings that determine a contrast's texts, without its dictionaries."""
        return {key: value for key, value in _result_keys(self.contrasts[name]).items() if key != "dictionaries"}

    def steering(self, name: str) -> dict[str, Any]:
        """Return the settings that determine a steering's texts."""
        return _result_keys(self.steerings[name])

    def explainer(self, name: str) -> dict[str, Any]:
        """Return the settings that determine an explainer's explanations."""
        return _result_keys(self.settings["explainers"][name])

    # Dictionaries.

    def of_source(self, source: str) -> list[str]:
        """Return the dictionaries of one source."""
        return [name for name, entry in self.dictionaries.items() if entry["source"] == source]

    def entry(self, dictionary: str, *keys: str) -> dict[str, Any]:
        """Return some keys of a dictionary's entry."""
        return {key: self.dictionaries[dictionary][key] for key in keys}

    def training(self, dictionary: str) -> dict[str, Any]:
        """Return a dictionary's training settings without the seed."""
        return self.entry(dictionary, *TRAINING)

    def fetched(self, dictionary: str) -> dict[str, Any]:
        """Return the settings that determine a hub dictionary's download and reading."""
        return self.entry(dictionary, *FETCHING)

    def layer(self, dictionary: str) -> int:
        """Return the block whose input a dictionary reads, from its entry or metadata."""
        entry = self.dictionaries[dictionary]
        layer = said_layer(entry["path"]) if entry["layer"] is None else entry["layer"]
        assert layer is not None, "the configuration was checked"
        return int(layer)

    def site(self, dictionary: str) -> str:
        """Return the site of a dictionary: model, layer and corpus. Dictionaries at one site share activations."""
        return self._sites[dictionary]

    def of_site(self, pattern: str) -> Callable[[Any], str]:
        """Return an input function: the file of the site that a job's ``dictionary`` reads."""
        return lambda wildcards: pattern.format(**wildcards, site=self.site(wildcards.dictionary))

    def contrast_at_site(self) -> dict[str, Callable[[Any], str]]:
        """Return input functions: a ``contrast``'s ``activations`` at the site that the ``dictionary`` reads, and of
        which ``prompts`` they are."""
        stem = "<features>/contrasts/{contrast}/{site}"
        return {"activations": self.of_site(f"{stem}.safetensors"), "prompts": self.of_site(f"{stem}.parquet")}

    def shards_of_site(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return an input function: the file of each shard of that site."""
        return lambda wildcards: [
            pattern.format(site=self.site(wildcards.dictionary), shard=shard) for shard in self.shards
        ]

    def wildcards(self) -> dict[str, str]:
        """Return wildcard → its pattern; a kind of dictionary or model has one of its own."""
        names: dict[str, Iterable[str]] = {
            "read_corpus": [*self.settings["corpora"], "own"],
            "dictionary": self.dictionaries,
            "trained_dictionary": self.of_source("trained"),
            "local_dictionary": self.of_source("local"),
            "hub_dictionary": self.of_source("hub"),
            "explainer": self.explainers,
            "contrast": self.contrasts,
            "steering": self.steerings,
            "edited_model": self.study.of_source("edited"),
            "bias_test": self.bias_tests,
        }
        patterns = {name: one_of_names(values) for name, values in names.items()}
        return patterns | {"part": "train|held_out", "layer": r"\d+"}

    def described(self) -> dict[str, dict[str, Any]]:
        """Return what tables say of each dictionary."""
        return {
            name: {
                "label": entry["label"],
                "model": entry["model"],
                "layer": self.layer(name),
                "randomised": name in self.controls,
                "seed": entry.get("seed"),
            }
            for name, entry in self.dictionaries.items()
        }

    def pages(self, dictionary: str) -> dict[str, str]:
        """Return the label of each dictionary → its page, as a link from the page of one of them."""
        folder = os.path.dirname(self.page(dictionary))
        return {entry["label"]: os.path.relpath(self.page(n), folder) for n, entry in self.dictionaries.items()}

    # Files.

    def texts(self, model: str, corpus: str, part: str) -> list[str]:
        """Return the files that hold the part ``train`` or ``held_out`` of a corpus, for a model to read."""
        if corpus == OWN:
            return [self.study.corpus_file(model, part)]
        return corpus_files(self.settings["corpora"][corpus]["path"])

    def source(self, corpus: str) -> dict[str, Any]:
        """Return how the texts of a corpus are read; an organism's own corpus has a form of its own."""
        is_own = corpus == OWN
        text = None if is_own else self.settings["corpora"][corpus]["text"]
        return {"is_own": is_own, "text": text, "context_length": self.settings["context_length"]}

    def neutral_text(self, model: str) -> str:
        """Return the file of texts that edits should leave as they are."""
        is_organism = self.study.is_organism(model)
        return self.study.corpus_file(model, "held_out") if is_organism else str(self.settings["neutral_text"])

    def dictionary_files(self, dictionary: str) -> list[str]:
        """Return the files of a local dictionary that decide what it is."""
        return dictionary_files(self.dictionaries[dictionary]["path"])

    def contrast_files(self, contrast: str) -> list[str]:
        """Return the files that the texts of a contrast are made from."""
        entry = self.contrasts[contrast]
        if entry["source"] == "prompt_set":
            prompts = f"<results>/prompts/{entry['prompt_set']}"
            return [f"{prompts}.parquet", f"{prompts}.candidates.parquet"]
        return contrast_files(entry["path"])

    def bias_files(self, bias_test: str) -> list[str]:
        """Return the files of a bias test."""
        entry = self.bias_tests[bias_test]
        return [str(path) for path in bias_files(entry["format"], entry["path"])]

    # Figures.

    @cached_property
    def figures(self) -> dict[str, list[str]]:
        """Figure → the tables it shows, for figures with data in the study."""
        figures = {"quality": ["quality"]}
        figures |= {figure: [f"dictionaries/{name}" for name in self.dictionaries] for figure in OF_FEATURES}
        known = {
            "seed_agreement": self.seeded,
            "effects": self.editable["contrast"],
            "effects_by_item": self.editable["contrast"],
            "truth": self.planted["contrast"],
            "edited": self.compares_edited,
        }
        return figures | {figure: [figure] for figure, has_data in known.items() if has_data}

    def table(self, name: str) -> str:
        """Return the file of a table that figures show; of a dictionary, that of its features."""
        if name.startswith("dictionaries/"):
            return f"<features>/{name}/features.parquet"
        return f"<features>/{name}.parquet" if name == COSINES else super().table(name)

    @property
    def context(self) -> dict[str, Any]:
        """Further parameters of figures."""
        seeded = {name: self.dictionaries[name] for name in self.seeded}
        families = {entry["family"]: entry["family_label"] for entry in seeded.values()}
        return {
            "labels": self.study.labels(self.study.answering),
            "dictionaries": families | {name: entry["label"] for name, entry in self.dictionaries.items()},
            "families": {name: entry["family"] for name, entry in seeded.items()},
            "randomised": self.controls,
            "bar": self.settings["bar"],
        }

    # Targets.

    @cached_property
    def parts(self) -> dict[str, list[str]]:
        """Part of the step → its tables and pages; nothing where the study lacks what the part is about.

        No figures: one job draws all of them, so that a figure of one part would take the tables of all others.
        """
        effects = {
            "effects": self.editable["contrast"],
            "effects_by_item": self.editable["contrast"],
            "truth": self.planted["contrast"],
        }
        return {
            "activations": [
                *self._activations("held_out", self.dictionaries),
                *self._activations("train", self.of_source("trained")),
            ],
            "dictionaries": self._each("dictionary.json"),
            "quality": [*self._each("quality.json"), *(["<features>/seed_agreement.csv"] if self.seeded else [])],
            "statistics": [*self._each("statistics.parquet"), *self._each("promoted.parquet")],
            "interpretation": self._each("features.csv"),
            "selection": [
                f"<features>/dictionaries/{dictionary}/{folder}/{contrast}.csv"
                for folder in ("selection", "probing")
                for dictionary, contrast in _pairs(self.contrasted)
            ],
            "effects": [f"<features>/{table}.csv" for table, has_data in effects.items() if has_data],
            "steering": [f"<features>/steering/{name}.csv" for name in self.steerings],
            "bias": ["<features>/bias.csv"] if all(self.biased.values()) else [],
            "pages": [f"<features>/{self.page(name)}" for name in self.dictionaries],
        }

    def targets(self, part: str | None = None) -> list[str]:
        """Return all that the step, or one part of it, leaves for a person, given what the study has.

        Raises:
            InputError: the study does not use the step, or lacks what the part is about.
        """
        if not self.dictionaries:
            raise InputError(NO_STEP)
        if part is None:
            return [*(file for files in self.parts.values() for file in files), *self._summaries()]
        if not self.parts[part]:
            raise InputError(LACKING[part])
        return self.parts[part]

    def _summaries(self) -> list[str]:
        """Return what is left for a person that no part asks for."""
        tables = ["quality", "polysemanticity", "probing", "selected", *(["edited"] if self.compares_edited else [])]
        return [
            *(f"<features>/{table}.csv" for table in tables),
            *(self.study.manifest(model) for model in self.edited),
            *self.figure_files(),
        ]

    def _used(self, key: str) -> Mapping[str, Entry]:
        section: Mapping[str, Entry] = self.settings[key]
        return section if uses_features(self.study.config) else {}

    @cached_property
    def _sites(self) -> dict[str, str]:
        return {
            name: f"{entry['model']}.L{self.layer(name)}.{entry['corpus']}" for name, entry in self.dictionaries.items()
        }

    def _model(self, dictionary: str) -> str:
        return str(self.dictionaries[dictionary]["model"])

    def _occupations(self, model: str) -> list[str]:
        """Return the parts of an organism's grammar in which pronouns take up an occupation."""
        return self.study.parts(model, is_pronoun)

    def page(self, dictionary: str) -> str:
        """Return where a page is below the step's folder; the first one is where a person looks."""
        return "index.html" if dictionary == self.first else f"dictionaries/{dictionary}/index.html"

    def _each(self, file: str) -> list[str]:
        return [f"<features>/dictionaries/{name}/{file}" for name in self.dictionaries]

    def _activations(self, part: str, dictionaries: Iterable[str]) -> list[str]:
        return [
            f"<features>/activations/{site}/{part}/{shard}.safetensors"
            for site in dict.fromkeys(map(self.site, dictionaries))
            for shard in self.shards
        ]


def _result_keys(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in REMARKS}


def _pairs(wildcards: Mapping[str, list[str]]) -> list[Pair]:
    return list(zip(wildcards["dictionary"], wildcards["contrast"], strict=True))


def _wildcards(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    """Return the values of ``dictionary`` and ``contrast``, side by side: ``expand`` takes them with ``zip``."""
    listed = list(pairs)
    return {"dictionary": [pair[0] for pair in listed], "contrast": [pair[1] for pair in listed]}
