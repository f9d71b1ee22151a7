# From the configuration to the names that rules use. Nothing here computes: every job parses it again.

import os
import re
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from leakscope.configuration.resolving import generation_settings, is_generated, is_on_hub, organisms, resolve
from leakscope.configuration.steps import imported_scores, uses
from leakscope.jobs.dependencies import imported_first_by_jobs, script_files
from leakscope.errors import InputError
from leakscope.organisms.grammar_files import is_leaking, is_pronoun, is_taxonomy, part_files
from leakscope.configuration.checks_ground import score_files
from leakscope.files.corpora import shard_files as corpus_files
from leakscope.ground.templates import template_file
from leakscope.storage.manifests import model_files
from leakscope.leak.prompts import count_prompts, template_files
from leakscope.files.reading_yaml import read_yaml
from leakscope.jobs.redaction import hide_in_logs
from leakscope.jobs.resources import model_needs, tuning_needs
from leakscope.files.row_counts import count_rows
from leakscope.jobs.sharding import count_shards, shards_of

LEXICONS = Path("data/lexicons")

imported_first_by_jobs(Path(workflow.basedir) / "scripts")
hide_in_logs()

# What a person wrote is read here, once: an input function that fails would only make Snakemake take an old output for
# a source file.
try:
    # Snakemake keeps the last of two equal keys without a word; this refuses them.
    for file in map(Path, workflow.configfiles):
        if file.suffix in (".yaml", ".yml"):
            read_yaml(file)
    CONFIG = resolve(config, workflow.config_settings.overwrite_config)
    TEMPLATE_FILES = {
        name: [str(path) for path in template_files(Path(entry["path"]), LEXICONS)]
        for name, entry in CONFIG["prompt_sets"].items()
        if entry["source"] == "templates"
    }
except InputError as error:
    raise WorkflowError(str(error)) from None


def leaking_parts(model):
    """The parts of an organism's grammar that plant leakage, whose exact Leak-Rates can be computed."""
    parts = CONFIG["models"][model]["grammar"]["parts"]
    return [part for part in parts if is_leaking(Path("data/grammar") / part)]


STUDY = CONFIG["study"]
MODELS = [model for model in STUDY["models"] if uses("leak", CONFIG["models"][model], CONFIG)]
PROMPT_SETS = STUDY["prompt_sets"]
SCORERS = STUDY["scorers"]
GENERATED = [model for model in MODELS if is_generated(CONFIG["models"][model])]
IMPORTED = [model for model in MODELS if model not in GENERATED]
ORGANISMS = organisms(CONFIG)
TEMPLATED = [name for name in PROMPT_SETS if CONFIG["prompt_sets"][name]["source"] == "templates"]
TABULATED = [name for name in PROMPT_SETS if name not in TEMPLATED]
HUB_SCORERS = [name for name in SCORERS if is_on_hub(CONFIG["scorers"][name])]
# Exact probabilities need a model to ask and a lexicon of candidates; an exact truth needs an organism's grammar, too.
HAS_CANDIDATES = bool(GENERATED and TEMPLATED)
LEAKING = [model for model in ORGANISMS if leaking_parts(model)]
HAS_TRUTH = bool(LEAKING and TEMPLATED)

# Texts, scores and embeddings that were computed once. No rule's output: Snakemake deletes outputs before a job.
STORE = "results/store"
CORPORA = "results/models/corpora"
TOKENIZERS = "results/models/tokenizers"
MODEL_FILES = ["model.safetensors", "config.json", "generation_config.json"]
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
SPECIES = {name: entry for name, entry in CONFIG["models"].items() if entry["source"] == "organism"}
RESULTS = f"results/{STUDY['name']}"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
V = f"{RESULTS}/validate"
F = f"{RESULTS}/features"


def one_of_names(names):
    """A wildcard constraint: exactly these names, or nothing where there are none."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"


wildcard_constraints:
    shard=r"\d+-of-\d+",
    model=one_of_names(CONFIG["models"]),
    prompt_set=one_of_names(PROMPT_SETS),
    scorer=one_of_names(SCORERS),


def code(rule):
    """The rule's entry script and the library modules it uses: Snakemake watches neither imports nor, alone, copies."""
    # Relative, so that a moved or copied checkout is the same to Snakemake.
    return script_files(Path(os.path.relpath(workflow.basedir)) / "scripts", rule)


def weights(model):
    """The model whose weights this one uses: itself, or what it extends."""
    return CONFIG["models"][model]["weights"]


def foundation(model):
    """The model that decides how this one is loaded, and what it needs: itself, or what it was made from."""
    base = CONFIG["models"][model].get("base")
    return model if base is None else foundation(base)


def is_organism(model):
    """Whether a model is an organism, or made from one."""
    return CONFIG["models"][foundation(model)]["source"] == "organism"


def manifest(model):
    """The file that says which weights a model has; a tuned or edited one is the study's own."""
    folders = {"tuned": f"{V}/tuned", "edited": f"{F}/edited"}
    folder = folders.get(CONFIG["models"][model]["source"], "results/models")
    return f"{folder}/{weights(model)}/model.json"


def loading_options(model):
    """What changes how a model is loaded, without changing what it is."""
    entry = CONFIG["models"][model]
    options = dict(dtype="auto", quantization=None, device="auto", trust_remote_code=False)
    return {key: entry.get(key, default) for key, default in options.items()}


def decoding_settings(model, prompt_set):
    """What the fingerprint of a model's text depends on: not how many texts there are, nor their random numbers."""
    settings = generation_settings(CONFIG, model, prompt_set)
    return {key: value for key, value in settings.items() if key not in ("samples", "seed")}


def chat_options(model):
    """How a model's prompt is wrapped: organisms are trained on their own chat template."""
    entry = CONFIG["models"][model]
    return {
        "chat": entry.get("chat", True),
        "chat_template_kwargs": entry.get("chat_template_kwargs", {}),
    }


FORMS = {".csv": "table", ".png": "figure", ".html": "page"}


def shown(path, section, name, caption):
    """A file that stands in the report: in which section, under which name, which no other of its form has.

    One label holds name and form. Of a second one with two values, figure and table, Snakemake makes a switch where it
    can, and its page goes blank where an entry exists in one of the two alone.
    """
    entry = f"{name} ({FORMS[Path(path).suffix]})"
    return report(path, caption=f"../report/{caption}.rst", category=section, labels={"what": entry})


def prompts(prompt_set):
    return f"{RESULTS}/prompts/{prompt_set}.parquet"


def candidates(prompt_set):
    return f"{RESULTS}/prompts/{prompt_set}.candidates.parquet"


def generations(models, prompt_sets):
    return [f"{RESULTS}/generations/{m}/{p}.parquet" for m in models for p in prompt_sets]


def corpus_name(entry):
    """What a corpus is drawn from: parts, strength in percent, seed. Organisms of several sizes share one."""
    parts, strength = (
        "+".join(entry["grammar"]["parts"]),
        100 * entry["grammar"]["strength"],
    )
    return f"{parts}-l{strength:g}-s{entry['seed']}"


def grammar_files(parts):
    return [str(path) for part in parts for path in part_files(Path("data/grammar") / part)]


@cache
def needs(model):
    """GPUs, memory and time of a job that lets the model generate."""
    return model_needs(CONFIG["models"][foundation(model)], CONFIG["gpu_memory_gb"])


def warn_of_too_few_gpus(models, needs):
    """Say which models need more GPUs than Snakemake may give to a job: it gives fewer, and says nothing."""
    allowed = getattr(workflow.global_resources.get("gpu"), "value", None)
    for model in models if allowed is not None and workflow.is_main_process else ():
        if needs(model).gpus > allowed:
            logger.warning(
                f"{model} needs {needs(model).gpus} GPUs of {CONFIG['gpu_memory_gb']:g} GB and gets {allowed}: "
                "raise `gpu` in the profile, or `gpu_memory_gb`, or quantise it."
            )


def gpus(wildcards):
    return needs(wildcards.model).gpus


def model_mem_mb(wildcards, attempt):
    return needs(wildcards.model).memory_mb * attempt


def model_runtime(wildcards):
    """The same for every try: what was written is kept, and partitions have limits."""
    return needs(wildcards.model).minutes


def growing(amount):
    """Memory or time that grows by as much with every further try of a job."""
    return lambda wildcards, attempt: amount * attempt


def largest_mb(files):
    """The size of the largest of some files."""
    return max((Path(file).stat().st_size for file in files), default=0) // 10**6


def model_threads(wildcards):
    """Threads decide the last bit of a sum, so they are a constant of the kind of model; --cores caps them."""
    return 1 if is_organism(wildcards.model) else 8


@cache
def n_prompts(prompt_set):
    """About how many prompts a set has: what decides into how many shards it is divided."""
    if prompt_set in TEMPLATED:
        return count_prompts(Path(CONFIG["prompt_sets"][prompt_set]["path"]), LEXICONS)
    return count_rows(Path(CONFIG["prompt_sets"][prompt_set]["path"]))


@cache
def n_shards(model, prompt_set):
    """Into how many jobs a prompt set is divided under a model."""
    generation = CONFIG["models"][model]["generation"]
    return count_shards(generation["shards"], n_prompts(prompt_set), generation["batch_size"])


def shard_files(pattern):
    """An input function: the file that each shard of a model's prompt set writes."""
    return lambda w: [
        pattern.format(model=w.model, prompt_set=w.prompt_set, shard=shard)
        for shard in shards_of(n_shards(w.model, w.prompt_set))
    ]


# Prompt sets so large, or asked to, that some model's work on them is divided; gathering costs a job, so others are not.
try:
    SHARDED = [name for name in PROMPT_SETS if any(n_shards(model, name) > 1 for model in GENERATED)]
except InputError as error:
    raise WorkflowError(str(error)) from None
UNSHARDED = [name for name in PROMPT_SETS if name not in SHARDED]


warn_of_too_few_gpus(GENERATED, needs)


def generations_file(wildcards):
    """The file that holds what an imported model wrote for a prompt set."""
    path = CONFIG["models"][wildcards.model]["path"]
    return path if isinstance(path, str) else path[wildcards.prompt_set]


def generations_sheet(wildcards):
    """The sheet of the prompts, where prompts and texts are one file; else the first."""
    entry = CONFIG["prompt_sets"][wildcards.prompt_set]
    return entry.get("sheet") if entry["path"] == generations_file(wildcards) else None


def scorer_settings(scorer):
    """What decides a scorer's numbers; its description does not."""
    return {key: value for key, value in CONFIG["scorers"][scorer].items() if key != "description"}


def encoder_files(scorer):
    """What decides a scorer's encoder: its folder's files, or for a hub encoder the commit that was fetched."""
    model = CONFIG["scorers"][scorer].get("model")
    if scorer in HUB_SCORERS:
        return [encoder_manifest(scorer)]
    return list(map(str, model_files(Path(model)))) if model and Path(model).is_dir() else []


def encoder_manifest(scorer):
    """The file that says which commit of a hub encoder is used."""
    return f"results/models/encoders/{scorer}.json"


def pair_tables():
    return [f"{RESULTS}/leakage/{p}/{s}.parquet" for p in PROMPT_SETS for s in SCORERS]


def leak_targets():
    """All that the step `leak` leaves for a person, given what the study has."""
    tables = [
        "leak_rates",
        "specific_leakage",
        "leak_rates_by_control",
        "comparisons",
        "concept_matrix",
    ]
    tables += ["logit_leak"] if HAS_CANDIDATES else []
    tables += ["organisms"] if ORGANISMS else []
    tables += ["truth"] if HAS_TRUTH else []
    return [
        *(f"{RESULTS}/{name}.csv" for name in tables),
        *(f"{RESULTS}/figures/{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "png")),
        f"{RESULTS}/explorer.html",
    ]


# Called when all rules are known.
TARGETS = {
    "leak": lambda: leak_targets(),
    "ground": lambda: ground_targets(),
    "validate": lambda: validate_targets(),
    "features": lambda: features_targets(),
}
