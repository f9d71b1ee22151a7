"""A study's models and prompt sets, and the parameters of their jobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakscope.configuration.resolved import (
    SERVED,
    generation_settings,
    gives_probabilities,
    is_generated,
    is_on_hub,
    is_prompted,
    is_scored_by_server,
    judges,
    organisms,
    thinks,
)
from leakscope.configuration.steps import uses
from leakscope.files.finding import folders, found
from leakscope.files.row_counts import count_rows
from leakscope.jobs.resources import Needs, model_needs, randomised_needs
from leakscope.jobs.sharding import Shard, count_shards, shards_of
from leakscope.languages.of_prompts import Languages
from leakscope.leak.exchange.newest_log import newest_log
from leakscope.leak.prompts import count_prompts, template_files
from leakscope.models.checkpoints.thoughts import HARMONY, MARKS
from leakscope.models.prompts.placing import USER
from leakscope.organisms.grammar_files import THINKS, is_leaking, is_sentences, part_files
from leakscope.storage.manifests import model_files

if TYPE_CHECKING:
    from leakscope.leak.imported_prompts import ImportedPrompts

# Looked up per file and per part: in the working directory, then in the checkout.
LEXICONS, GRAMMAR = "data/lexicons", "data/grammar"
# Files of an organism's folder apart from its manifest.
WEIGHT_FILES = ("model.safetensors", "config.json", "generation_config.json")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
# There is a chat template only if the GGUF file has one.
CONVERTED_FILES = (*WEIGHT_FILES, "tokenizer.json", "tokenizer_config.json")
# Keys that identify a model's GGUF file, by source.
GGUF_KEYS = {
    "package": ("package", "version", "sha256", "file"),
    "hub": ("id", "revision", "gguf_file"),
    "local": ("gguf_file",),
}
# Models made by a study belong to it; all others are shared by all studies.
MANIFESTS = {"tuned": "<validate>/tuned", "edited": "<features>/edited", "mitigated": "<trace>/mitigated"}
THREADS, THREADS_OF_ORGANISMS = 8, 1
ENGLISH = "en"
# Defaults for loading a model.
LOADING = {"dtype": "auto", "quantization": None, "device": "auto", "trust_remote_code": False}


def one_of_names(names: Iterable[str]) -> str:
    """Return a wildcard pattern that matches exactly these names, or nothing if there are none."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"


@dataclass(frozen=True, eq=False)
class Study:
    """A study, from its configuration as :func:`leakscope.configuration.resolving.resolve` returns it.

    Args:
        config: with ``absolute`` as here.
        counted: prompt set → approximate number of prompts, if already counted.
        absolute: whether paths in the working directory must be absolute (see :mod:`leakscope.files.finding`).
    """

    config: Mapping[str, Any]
    counted: Mapping[str, int] = field(default_factory=dict)
    absolute: bool = False

    @property
    def name(self) -> str:
        """The study's name, and that of its folder in ``results/``."""
        return str(self.config["study"]["name"])

    @property
    def steps(self) -> list[str]:
        """The study's steps."""
        return list(self.config["study"]["steps"])

    @property
    def entries(self) -> Mapping[str, Mapping[str, Any]]:
        """Model → its entry, for the study's models and those whose weights they share."""
        entries: Mapping[str, Mapping[str, Any]] = self.config["models"]
        return entries

    @property
    def prompt_sets(self) -> list[str]:
        """All prompt sets, in the study's order."""
        return list(self.config["study"]["prompt_sets"])

    @property
    def scorers(self) -> list[str]:
        """All similarities, in the study's order."""
        return [name for name in self.config["study"]["scorers"] if name not in self.judges]

    @cached_property
    def judges(self) -> list[str]:
        """The judges: models that take the match-rate test themselves."""
        return judges(self.config)

    @cached_property
    def models(self) -> list[str]:
        """The models tested for leakage."""
        return [name for name in self.config["study"]["models"] if uses("leak", self.entries[name], self.config)]

    @cached_property
    def generated(self) -> list[str]:
        """The models that run here."""
        return [name for name in self.models if is_generated(self.entries[name])]

    @cached_property
    def answering(self) -> list[str]:
        """The models that run here and do not think first, so that their probabilities can be read."""
        return [name for name in self.generated if gives_probabilities(self.entries[name])]

    @cached_property
    def thinking(self) -> list[str]:
        """The models that think before they answer, here or behind a server."""
        return [name for name in self.models if thinks(self.entries[name])]

    @cached_property
    def served(self) -> list[str]:
        """The models behind a server."""
        return [name for name in self.models if self.entries[name]["source"] == SERVED]

    @cached_property
    def probed(self) -> list[str]:
        """The models with exact probabilities of candidates: here, or from a server that gives them."""
        served = [name for name in self.served if is_scored_by_server(self.entries[name])]
        return [name for name in self.models if name in self.answering or name in served]

    @cached_property
    def prompted(self) -> list[str]:
        """The models that generate texts, here or behind a server."""
        return [name for name in self.models if is_prompted(self.entries[name])]

    @cached_property
    def imported(self) -> list[str]:
        """The models with imported texts."""
        return [name for name in self.models if name not in self.prompted]

    @cached_property
    def organisms(self) -> list[str]:
        """The organisms: models trained by the workflow on a corpus with known associations."""
        return organisms(self.config)

    @cached_property
    def species(self) -> dict[str, Mapping[str, Any]]:
        """Organism → its entry, for the study's organisms and those that its models are made from."""
        return {name: entry for name, entry in self.entries.items() if entry["source"] == "organism"}

    @cached_property
    def leaking(self) -> list[str]:
        """Organisms trained to leak in bare words; their rates are known exactly."""
        return [name for name in self.organisms if self.leaking_parts(name) and name not in self.drawn]

    @cached_property
    def drawn(self) -> list[str]:
        """Organisms trained to leak in sentences; their rates are estimated from many sampled texts."""
        return [name for name in self.organisms if self.sentence_parts(name)]

    @cached_property
    def templated(self) -> list[str]:
        """Prompt sets made from templates and lexicons, which have candidates."""
        return [name for name in self.prompt_sets if self.config["prompt_sets"][name]["source"] == "templates"]

    @cached_property
    def tabulated(self) -> list[str]:
        """Prompt sets given as a table."""
        return [name for name in self.prompt_sets if self.prompt_set(name)["source"] == "table"]

    @cached_property
    def inserted(self) -> list[str]:
        """Prompt sets of sentences with inserted clauses."""
        return [name for name in self.prompt_sets if self.prompt_set(name)["source"] == "insertions"]

    @cached_property
    def hub_scorers(self) -> list[str]:
        """Scorers whose encoder has to be fetched."""
        return [name for name in self.scorers if is_on_hub(self.config["scorers"][name])]

    @property
    def has_candidates(self) -> bool:
        """Whether exact probabilities can be had: of a model to ask, and a lexicon of candidates."""
        return bool(self.probed and self.templated)

    @cached_property
    def taught(self) -> list[str]:
        """Prompt sets from templates that an organism's grammar may know: its corpus has no clause elsewhere."""
        return [name for name in self.templated if self.prompt_set(name)["place"] == USER]

    @property
    def has_truth(self) -> bool:
        """Whether exact rates can be had: those take an organism's grammar, too."""
        return bool((self.leaking or self.drawn) and self.taught)

    # Wildcards.

    def wildcards(self) -> dict[str, str]:
        """Return wildcard → its pattern. One called by a kind of model or set is for that kind."""
        names = {
            "model": self.entries,
            "organism": self.of_source("organism"),
            "hub_model": self.on_hub,
            "local_model": [name for name in self.of_source("local") if name not in self.converted],
            "package_model": self.of_source("package"),
            "hub_gguf": self.hub_gguf,
            "gguf_model": self.converted,
            "adapter_model": self.of_source("adapter"),
            "randomised_model": self.of_source("randomised"),
            "mitigated_model": self.of_source("mitigated"),
            "served": self.served,
            "imported": [*self.of_source("generations"), *self.of_source("scores")],
            "prompt_set": self.prompt_sets,
            "templated": self.templated,
            "tabulated": self.tabulated,
            "inserted": self.inserted,
            "scorer": self.scorers,
            "judge": self.judges,
            "corpus": self.corpora,
            "grammar": self.grammars,
        }
        return {name: one_of_names(values) for name, values in names.items()} | {"shard": r"\d+-of-\d+"}

    # Those of all files of a kind, in the order of tables.

    @property
    def written(self) -> dict[str, list[str]]:
        """Wildcards of all texts."""
        return {"model": self.models, "prompt_set": self.prompt_sets}

    @property
    def scored(self) -> dict[str, list[str]]:
        """Wildcards of all exact scores of candidates."""
        return {"model": self.probed, "prompt_set": self.templated}

    @property
    def sampled(self) -> dict[str, list[str]]:
        """Wildcards of all texts from which rates are known."""
        return {"model": self.drawn, "prompt_set": self.taught}

    @property
    def compared(self) -> dict[str, list[str]]:
        """Wildcards of all tables of pairs."""
        return {"prompt_set": self.prompt_sets, "scorer": self.scorers}

    # Files.

    def template_files(self, prompt_set: str) -> list[str]:
        """Return the templates and lexicons that a prompt set is made from."""
        lexicons = folders(LEXICONS, absolute=self.absolute)
        return list(map(str, template_files(Path(self.prompt_set(prompt_set)["path"]), lexicons)))

    def manifest(self, model: str) -> str:
        """Return the file that says which weights a model has."""
        entry = self.entries[model]
        return f"{MANIFESTS.get(entry['source'], '<models>')}/{entry['weights']}/model.json"

    def gguf_file(self, model: str) -> str:
        """Return the GGUF file of a model that has one; of a model of the hub, the record of what was fetched."""
        entry = self.entries[model]
        if entry["source"] == "local":
            return str(Path(entry["path"], entry["gguf_file"]))
        return f"<models>/gguf_files/{model}.{'json' if entry['source'] == 'hub' else 'gguf'}"

    def gguf_keys(self, model: str) -> dict[str, str]:
        """Return which GGUF file a converted model is: of which package, or which revision of the hub."""
        entry = self.entries[model]
        return {key: entry[key] for key in GGUF_KEYS[entry["source"]]}

    def origin(self, model: str) -> dict[str, str]:
        """Return what the manifest of a converted model says of where it comes from."""
        return {"source": self.entries[model]["source"], **self.gguf_keys(model)}

    def checkpoint_files(self, model: str) -> list[str]:
        """Return the files of a local model's folder, or of an adapter's, that decide what it is."""
        return list(map(str, model_files(Path(self.entries[model]["path"]))))

    def encoder_files(self, scorer: str) -> list[str]:
        """Return what decides a scorer's encoder: its files, or the commit that was fetched from the hub.

        What is inside an installed package is none of the workflow's files.
        """
        if scorer in self.hub_scorers:
            return [f"<models>/encoders/{scorer}.json"]
        entry = self.config["scorers"][scorer]
        model = entry.get("model")
        if entry.get("tokenizer") is not None:
            return [path for path in (model, entry["tokenizer"]) if not path.startswith("package:")]
        return list(map(str, model_files(Path(model)))) if model and Path(model).is_dir() else []

    def generations_file(self, model: str, prompt_set: str) -> str:
        """Return the file that holds what an imported model wrote for a prompt set; of a folder of logs the newest."""
        path = self.entries[model]["path"]
        return str(newest_log(Path(path if isinstance(path, str) else path[prompt_set]), prompt_set))

    def generations_table(self, model: str, prompt_set: str) -> dict[str, Any]:
        """Return how the file of an imported model is read.

        ``sheet`` is that of the prompts where prompts and texts are one file; else None, which is the first.
        """
        entry = self.prompt_set(prompt_set)
        sheet = entry.get("sheet") if entry["path"] == self.generations_file(model, prompt_set) else None
        own = self.entries[model]
        return {
            "samples": entry.get("samples"),
            "control_samples": entry.get("control_samples"),
            "sheet": sheet,
            "prompts_path": entry["path"],
            "called": own.get("called", model),
            "strip_prompt": own["strip_prompt"],
        }

    def fetched(self, model: str) -> dict[str, Any]:
        """Return which snapshot of the hub a model is."""
        return {key: self.entries[model][key] for key in ("id", "revision", "trust_remote_code")}

    def fetched_encoder(self, scorer: str) -> dict[str, Any]:
        """Return which snapshot of the hub a scorer's encoder is."""
        entry = self.config["scorers"][scorer]
        return {"id": entry["model"], "revision": entry.get("revision") or "main"}

    # Models.

    def prompt_set(self, name: str) -> Mapping[str, Any]:
        """Return the entry of a prompt set."""
        entry: Mapping[str, Any] = self.config["prompt_sets"][name]
        return entry

    def of_source(self, source: str) -> list[str]:
        """Return the models of one source that have weights of their own."""
        return [name for name, entry in self.entries.items() if entry["source"] == source and entry["weights"] == name]

    @cached_property
    def converted(self) -> list[str]:
        """The models that are made from a GGUF file."""
        with_file = [
            name for name in self.of_source("local") + self.of_source("hub") if self.entries[name]["gguf_file"]
        ]
        return self.of_source("package") + with_file

    @property
    def on_hub(self) -> list[str]:
        """The models of the hub that are a folder there, and need no conversion."""
        return [name for name in self.of_source("hub") if name not in self.converted]

    @property
    def hub_gguf(self) -> list[str]:
        """Those whose file is on the hub."""
        return [name for name in self.of_source("hub") if name in self.converted]

    def labels(self, models: Iterable[str]) -> dict[str, str]:
        """Return model → what figures call it."""
        return {model: self.entries[model]["label"] for model in models}

    @property
    def look(self) -> dict[str, Any]:
        """How figures look; the keys are those of ``figures.look.Looks``."""
        figures = self.config["figures"]
        return {"style": figures["style"], **figures["width"], **figures["font"]}

    @property
    def style_files(self) -> list[str]:
        """The file of the figures' style, where it is one."""
        style = self.config["figures"]["style"]
        return [style] if style and style.endswith(".mplstyle") else []

    def sizes(self, models: Iterable[str]) -> dict[str, int]:
        """Return model → number of parameters, where the configuration says it; organisms' are in their table."""
        return {model: size for model in models if (size := self.entries[model].get("parameters"))}

    def foundation(self, model: str) -> str:
        """Return the model that decides how this one is loaded, and what it needs: itself, or what it was made from."""
        base = self.entries[model].get("base")
        return model if base is None else self.foundation(base)

    def is_organism(self, model: str) -> bool:
        """Say whether a model is an organism, or made from one."""
        return self.foundation(model) in self.species

    def loading(self, model: str) -> dict[str, Any]:
        """Return what changes how a model is loaded, without changing what it is."""
        return {key: self.entries[model].get(key, default) for key, default in LOADING.items()}

    def chat(self, model: str, prompt_set: str | None = None) -> dict[str, Any]:
        """Return how a model's prompt is wrapped; organisms are trained on their own chat template.

        Of a prompt set in another language than English, this is said: candidates are joined and end as it has them.
        """
        entry = self.entries[model]
        wrapping = {"chat": entry.get("chat", True), "chat_template_kwargs": entry.get("chat_template_kwargs", {})}
        language = self.languages(prompt_set).texts if prompt_set else ENGLISH
        wrapping |= {"language": language} if language != ENGLISH else {}
        known = {"in_candidates": self.thinks_in_candidates(model)}
        return {**wrapping, "thinking": {**entry["thinking"], **known}} if thinks(entry) else wrapping

    def thinks_in_candidates(self, model: str) -> bool:
        """Say whether a model's thoughts and answers are candidates, so that all of them can be scored."""
        return "thought" in self.species.get(self.foundation(model), {}).get("grammar", {})

    @property
    def unreviewed(self) -> list[str]:
        """Sentences on the prompt sets that say of themselves that no native reader has read them."""
        from leakscope.leak.prompt_files import unreviewed

        told = {name: unreviewed(Path(self.template_files(name)[0])) for name in self.templated}
        by_check = {check: [name for name, said in told.items() if said == check] for check in told.values()}
        return [
            f"No native reader has read the prompts of {', '.join(sets)}: some may be odd."
            + (f" Done instead: {check}." if check else "")
            for check, sets in by_check.items()
            if check is not None
        ]

    def generation(self, model: str, prompt_set: str) -> dict[str, Any]:
        """Return what decides a model's texts for a prompt set."""
        return generation_settings(self.config, model, prompt_set)

    def server(self, model: str, *keys: str) -> dict[str, Any]:
        """Return which server has a model, what it calls it, and other keys of the entry."""
        return {key: self.entries[model][key] for key in ("base_url", "model", *keys)}

    def manner(self, model: str) -> dict[str, Any]:
        """Return how texts are asked for (see ``web.writing.Manner``)."""
        entry, settings = self.entries[model], self.entries[model]["generation"]
        thinking = entry.get("thinking")
        # The protocol has one limit for both.
        most = settings["max_new_tokens"] + (thinking["budget"] if thinking else 0)
        return {
            **{key: entry[key] for key in ("api", "extra_body")},
            **{key: settings[key] for key in ("temperature", "seed")},
            "top_p": None if settings["top_p"] == "model" else settings["top_p"],
            "max_tokens": most,
            **({"thinks": _served_marks(thinking)} if thinking else {}),
        }

    def asking(self, model: str, results: Path) -> dict[str, Any]:
        """Return how often and how patiently a server is asked, and for how much; no text depends on it.

        Args:
            model: behind the server.
            results: folder of the study's results, which records costs.
        """
        entry = self.entries[model]
        names = {"timeout": "seconds", "requests_per_minute": "per_minute"}
        requests = ("key_variable", "concurrency", "requests_per_minute", "timeout", "attempts")
        return {
            "requests": {names.get(key, key): entry[key] for key in requests},
            **{key: entry[key] for key in ("prices", "max_cost")},
            "results": str(results),
        }

    def of_sets(self, model: str) -> dict[str, dict[str, Any]]:
        """Return prompt set → what of its prompts a server is told, how many texts are wanted, and where they end."""
        kept = ("samples", "control_samples", "stop", "system", "template")
        settings = {name: self.generation(model, name) for name in self.prompt_sets}
        thinking = self.entries[model].get("thinking")
        measure = {"measure": thinking["measure"]} if thinking else {}
        return {name: {key: each[key] for key in kept if key in each} | measure for name, each in settings.items()}

    def put(self, model: str) -> dict[str, dict[str, Any]]:
        """Return prompt set → how its prompts are put to a server, of those with candidates."""
        settings = {name: self.generation(model, name) for name in self.templated}
        return {name: {key: each[key] for key in ("system", "template")} for name, each in settings.items()}

    @property
    def temperatures(self) -> dict[float, list[str]]:
        """Temperature → labels of the models that write at it; it sharpens every measure of texts."""
        found: dict[float, list[str]] = {}
        for model in self.prompted:
            found.setdefault(self.entries[model]["generation"]["temperature"], []).append(self.entries[model]["label"])
        return found

    def scorer(self, name: str) -> dict[str, Any]:
        """Return what decides a scorer's numbers; what people say of it does not."""
        said = ("description", "languages")
        return {key: value for key, value in self.config["scorers"][name].items() if key not in said}

    def languages(self, prompt_set: str) -> Languages:
        """Return the languages of a prompt set's sentences and concepts."""
        entry = self.prompt_set(prompt_set)
        return Languages(entry["language"], entry["concept_language"] or entry["language"])

    @property
    def reads(self) -> dict[str, dict[str, str]]:
        """Scorer → prompt set → "yes" if it was made to read its languages, "no", or nothing where it is not known."""
        found: dict[str, dict[str, str]] = {}
        for scorer in self.scorers:
            known = self.config["scorers"][scorer].get("languages")
            word = {None: "", True: "yes", False: "no"}
            found[scorer] = {
                name: word[set(self.languages(name)) <= set(known) if known else None] for name in self.prompt_sets
            }
        return found

    def unread_by(self, scorer: str) -> list[str]:
        """Return a sentence on the prompt sets in languages that a scorer was not made to read; none where it was."""
        sets = {name: sorted(set(self.languages(name))) for name, word in self.reads[scorer].items() if word == "no"}
        others = [f"{name} ({', '.join(languages)})" for name, languages in sets.items()]
        if not others:
            return []
        known = ", ".join(self.config["scorers"][scorer]["languages"])
        whose = f"{scorer} was made to read {known}, and not {', '.join(others)}"
        return [f"{whose}: it may find shared letters there, and miss shared meaning."]

    @property
    def unread(self) -> list[str]:
        """A sentence for each scorer that was not made to read the language of some prompt sets."""
        return [sentence for scorer in self.scorers for sentence in self.unread_by(scorer)]

    # Organisms.

    @cached_property
    def corpora(self) -> dict[str, dict[str, Any]]:
        """Corpus → the grammar and seed that it is drawn from; organisms of several sizes share one."""
        return {self.corpus(name): {**entry["grammar"], "seed": entry["seed"]} for name, entry in self.species.items()}

    @cached_property
    def grammars(self) -> dict[str, list[str]]:
        """The parts of each grammar, by their names joined; organisms of one grammar share a tokenizer."""
        return {self.grammar(name): list(entry["grammar"]["parts"]) for name, entry in self.species.items()}

    def grammar(self, organism: str) -> str:
        """Return the name of an organism's grammar: its parts, and whether it has thoughts, whose marks are tokens."""
        entry = self.species[organism]["grammar"]
        return "+".join(entry["parts"]) + (THINKS if "thought" in entry else "")

    def corpus(self, organism: str) -> str:
        """Return the name of an organism's corpus: parts, strengths in percent, groups that are left out, seed."""
        entry = self.species[organism]
        without = "".join(f"-no-{group}" for group in sorted(entry["grammar"].get("except", ())))
        thought = f"-t{100 * entry['grammar']['thought']:g}" if "thought" in entry["grammar"] else ""
        strength = f"-l{100 * entry['grammar']['strength']:g}{thought}"
        return f"{self.grammar(organism)}{strength}{without}-s{entry['seed']}"

    def corpus_file(self, model: str, part: str = "train") -> str:
        """Return the corpus of the organism that a model is or was made from: ``train``, or ``held_out`` of it."""
        suffix = {"train": "", "held_out": ".held_out"}[part]
        return f"<models>/corpora/{self.corpus(self.foundation(model))}{suffix}.jsonl"

    @property
    def described_organisms(self) -> dict[str, dict[str, Any]]:
        """Organism → its size and the strength of its planted association, in the study's order.

        Of one that thinks, the strength of what is measured; None where that is thought and answer, which have two.
        """
        entries = {name: self.entries[name] for name in self.organisms}
        return {name: {"size": entry["size"], "strength": _strength(entry)} for name, entry in entries.items()}

    @property
    def training(self) -> dict[str, Any]:
        """How organisms are trained, less the size of their corpus."""
        return {key: value for key, value in self.config["organisms"]["training"].items() if key != "documents"}

    def leaking_parts(self, organism: str) -> list[str]:
        """Return the parts of an organism's grammar that plant leakage in bare words."""
        return self.parts(organism, is_leaking)

    def sentence_parts(self, organism: str) -> list[str]:
        """Return the parts of an organism's grammar that plant leakage in sentences."""
        return self.parts(organism, is_sentences)

    def parts(self, model: str, is_kind: Callable[[Path], bool]) -> list[str]:
        """Return the parts of one kind of a model's grammar; none where it is no organism."""
        parts = self.species[model]["grammar"]["parts"] if model in self.species else []
        return [part for part in parts if is_kind(self.part_folder(part))]

    def part_folder(self, part: str) -> Path:
        """Return the folder of a part of a grammar."""
        return Path(found(f"{GRAMMAR}/{part}", absolute=self.absolute))

    def grammar_files(self, parts: Iterable[str]) -> list[str]:
        """Return the files of some parts, each once."""
        return sorted({str(path) for part in parts for path in part_files(self.part_folder(part))})

    # Jobs.

    def needs(self, model: str) -> Needs:
        """Return the GPUs, memory and time of a job that lets a model generate."""
        return _needs(self, self.foundation(model), self.entries[model]["source"] == "randomised")

    def threads(self, model: str) -> int:
        """Return a constant of the kind of model: threads decide the last bit of a sum. ``--cores`` caps them."""
        return THREADS_OF_ORGANISMS if self.is_organism(model) else THREADS

    def shards(self, model: str, prompt_set: str) -> list[Shard]:
        """Return the parts into which a prompt set is divided under a model, for a job each."""
        return shards_of(_n_shards(self, model, prompt_set))

    @cached_property
    def n_prompts(self) -> dict[str, int]:
        """Prompt set → about how many prompts it has: what decides into how many shards it is divided."""
        return dict(self.counted) or {name: self.n_prompts_of(name) for name in self.prompt_sets}

    def n_prompts_of(self, prompt_set: str) -> int:
        """Return about how many prompts a set has; templates and lexicons are read and checked for that.

        Raises:
            InputError: there is a mistake in them.
        """
        return _n_prompts(self, prompt_set)

    @cached_property
    def divided(self) -> list[str]:
        """Prompt sets that are divided under some model. Putting parts together costs a job, so others are not."""
        return [name for name in self.prompt_sets if any(len(self.shards(model, name)) > 1 for model in self.generated)]

    @cached_property
    def undivided(self) -> list[str]:
        """All other prompt sets."""
        return [name for name in self.prompt_sets if name not in self.divided]


def _strength(organism: Mapping[str, Any]) -> float | None:
    """Return the strength of the association in what is measured of an organism."""
    grammar: dict[str, float] = organism["grammar"]
    if "thought" not in grammar:
        return grammar["strength"]
    strengths = {"answer": grammar["strength"], "thought": grammar["thought"]}
    return strengths.get(organism["thinking"]["measure"])


def _served_marks(thinking: Mapping[str, Any]) -> list[list[str]]:
    """Return what thoughts may stand between in what a server calls the content."""
    if thinking["begin"] is not None:
        return [[thinking["begin"], thinking["end"]]]
    return [*map(list, MARKS), [HARMONY.begin, HARMONY.end + HARMONY.lead]]


@cache
def _needs(study: Study, model: str, randomised: bool) -> Needs:
    needs = randomised_needs if randomised else model_needs
    return needs(study.entries[model], study.config["gpu_memory_gb"])


@cache
def _n_shards(study: Study, model: str, prompt_set: str) -> int:
    generation = study.entries[model]["generation"]
    return count_shards(generation["shards"], study.n_prompts[prompt_set], generation["batch_size"])


@cache
def _n_prompts(study: Study, prompt_set: str) -> int:
    entry = study.prompt_set(prompt_set)
    if prompt_set in study.templated:
        files = [Path(file) for file in study.template_files(prompt_set)]
        return count_prompts(files, entry["place"], study.languages(prompt_set))
    if prompt_set in study.tabulated and not entry["partners"]:
        return count_rows(Path(entry["path"]))
    # How many are made, only the tables say. Importing what reads them costs the planning process alone.
    return len(read_prompts(study, prompt_set).prompts)


def read_prompts(study: Study, prompt_set: str) -> ImportedPrompts:
    """Return the prompts of a set that is no templates, and what a user should know about them; it takes pandas.

    Raises:
        InputError: there is a mistake in them.
    """
    from leakscope.leak.imported_prompts import ImportedPrompts, import_prompts
    from leakscope.leak.insertions import insert_clauses

    entry, languages = study.prompt_set(prompt_set), study.languages(prompt_set)
    path, sheet = Path(entry["path"]), entry["sheet"]
    if prompt_set in study.inserted:
        return ImportedPrompts(insert_clauses(path, Path(entry["clauses"]), prompt_set, sheet, languages), [])
    return import_prompts(path, prompt_set, sheet, entry["partners"], entry["place"], languages)
