# From the configuration to the names that the rules of features.smk and features_edits.smk use. Nothing here computes.

from itertools import product

from leakscope.configuration import checks_features as feature_checks
from leakscope.features.bias.tables import bias_files
from leakscope.features.dictionaries import files as feature_files

FEATURES = CONFIG["features"]
USES_FEATURES = feature_checks.uses_features(CONFIG)
DICTIONARIES = FEATURES["dictionaries"] if USES_FEATURES else {}
CONTRASTS = FEATURES["contrasts"] if USES_FEATURES else {}
STEERINGS = FEATURES["steering"] if USES_FEATURES else {}
BENCHMARKED = FEATURES["benchmarks"] if USES_FEATURES else {}
EXPLAINERS = FEATURES["explainers"]
D = f"{F}/dictionaries/{{dictionary}}"
OF_SOURCE = {
    source: [name for name, entry in DICTIONARIES.items() if entry["source"] == source]
    for source in ("trained", "local", "hub")
}
# Controls: what a dictionary finds in a model that has learnt nothing.
RANDOMISED = [name for name, entry in DICTIONARIES.items() if entry.get("randomised")]
# Dictionaries that differ in their seed alone.
SEEDED = [
    name
    for name in OF_SOURCE["trained"]
    if any(
        name != other and DICTIONARIES[name]["family"] == DICTIONARIES[other]["family"]
        for other in OF_SOURCE["trained"]
    )
]
# Every pair of dictionary and contrast, and those whose features are edited: the model itself, not one of its controls.
CONTRASTED = [
    (name, contrast)
    for name, contrast in product(DICTIONARIES, CONTRASTS)
    if feature_checks.is_tried(name, CONTRASTS[contrast])
]
EDITABLE = [(name, contrast) for name, contrast in CONTRASTED if name not in RANDOMISED]
EDITED = {
    model: CONFIG["models"][model]
    for model in STUDY["models"]
    if CONFIG["models"][model]["source"] == "edited"
}
BIASED = list(product(GENERATED, BENCHMARKED))
# What may be said of an edited model: what leaks from it, and how biased it is, beside what was measured on a contrast.
COMPARES_EDITED = EDITED and (
    "leak" in STUDY["steps"] or BENCHMARKED or any(entry["contrast"] is not None for entry in EDITED.values())
)


def layer_of(dictionary):
    """The block whose input a dictionary reads; a local one's metadata may be all that says it."""
    entry = DICTIONARIES[dictionary]
    return feature_files.said_layer(entry["path"]) if entry["layer"] is None else entry["layer"]


def site_of(dictionary):
    """Where a dictionary reads activations: a model, a layer, a corpus."""
    entry = DICTIONARIES[dictionary]
    # No name holds an @.
    control = "@randomised" if dictionary in RANDOMISED else ""
    return f"{entry['model']}{control}.L{layer_of(dictionary)}.{entry['corpus']}"


# Dictionaries of one site share its activations.
SITES = {site_of(name): name for name in DICTIONARIES}


def dictionary_of(wildcards):
    """The dictionary that a job is about, or one of the site that it is about."""
    if "steering" in wildcards.keys():
        return STEERINGS[wildcards.steering]["dictionary"]
    return wildcards.get("dictionary") or SITES[wildcards.site]


def model_of(wildcards):
    """The model whose residual stream is read, or edited."""
    return DICTIONARIES[dictionary_of(wildcards)]["model"]


def reads_own(wildcards):
    """Whether activations are read in an organism's own corpus."""
    return DICTIONARIES[dictionary_of(wildcards)]["corpus"] == feature_checks.OWN


def is_randomised(wildcards):
    return dictionary_of(wildcards) in RANDOMISED


def own_corpus(model, part):
    """The corpus that an organism was trained on, or what was held out of it."""
    suffix = {"train": "", "held_out": ".held_out"}[part]
    return f"{CORPORA}/{corpus_name(SPECIES[foundation(model)])}{suffix}.jsonl"


def read_texts(wildcards, part):
    """The files whose texts a site's model reads."""
    if reads_own(wildcards):
        return [own_corpus(model_of(wildcards), part)]
    corpus = DICTIONARIES[dictionary_of(wildcards)]["corpus"]
    return feature_files.corpus_files(FEATURES["corpora"][corpus]["path"])


def text_column(wildcards):
    """Under which name the texts stand there; an organism's own corpus has its own form."""
    corpus = DICTIONARIES[dictionary_of(wildcards)]["corpus"]
    return None if reads_own(wildcards) else FEATURES["corpora"][corpus]["text"]


def activations(dictionary, part):
    """The activations of a dictionary's site, shard by shard."""
    return [
        f"{F}/activations/{site_of(dictionary)}/{part}/{shard}.safetensors"
        for shard in shards_of(FEATURES["shards"])
    ]


def contrast_inputs(contrast):
    """What the texts of a contrast are made from."""
    entry = CONTRASTS[contrast]
    if entry["source"] == "prompt_set":
        return [prompts(entry["prompt_set"]), candidates(entry["prompt_set"])]
    return feature_files.contrast_files(entry["path"])


def prompting_settings(model, contrast):
    """How a model is given the prompts of a contrast that is made of them; other texts are given as they stand."""
    if CONTRASTS[contrast]["source"] != "prompt_set":
        return {}
    return {
        key: CONFIG["models"][model]["generation"][key] for key in ("system", "template", "max_new_tokens")
    }


def contrasting(dictionary, contrast, suffix):
    """What a dictionary's model has where a contrast is decided: `safetensors`, or the texts as `parquet`."""
    return f"{F}/contrasts/{contrast}/{site_of(dictionary)}.{suffix}"


def of_dictionaries(file, names):
    return [f"{F}/dictionaries/{name}/{file}" for name in names]


def of_contrasts(folder, pairs, suffix):
    """What was found of each pair of a dictionary and a contrast."""
    return [f"{F}/dictionaries/{name}/{folder}/{contrast}{suffix}" for name, contrast in pairs]


def plain(entry, *left_out):
    """What decides a result: no label, no remark."""
    return {key: value for key, value in entry.items() if key not in ("label", "description", *left_out)}


def described_dictionaries():
    """What tables say of each dictionary."""
    return {
        name: {
            "label": entry["label"],
            "model": entry["model"],
            "layer": layer_of(name),
            "randomised": name in RANDOMISED,
            "seed": entry.get("seed"),
        }
        for name, entry in DICTIONARIES.items()
    }


def feature_bootstrap():
    return {key: FEATURES[key] for key in ("level", "resamples", "seed")}


def reading_gpus(wildcards):
    return needs(model_of(wildcards)).gpus


def reading_mem_mb(wildcards, attempt):
    return needs(model_of(wildcards)).memory_mb * attempt


def reading_runtime(wildcards):
    return needs(model_of(wildcards)).minutes


def reading_threads(wildcards):
    """As `model_threads`: threads decide the last bit of a sum."""
    return 1 if is_organism(model_of(wildcards)) else 8


def occupation_parts(model):
    """The parts of an organism's grammar in which pronouns take up an occupation."""
    parts = SPECIES[model]["grammar"]["parts"] if model in SPECIES else []
    return [part for part in parts if is_pronoun(Path("data/grammar") / part)]


# Pairs of dictionary and contrast whose organism was taught what the contrast asks.
ASSOCIATED = [
    (name, contrast)
    for name, contrast in EDITABLE
    if CONTRASTS[contrast]["source"] == "templates" and occupation_parts(DICTIONARIES[name]["model"])
]

# Models with dictionaries that are organisms taught so, with their grammar's part.
PLANTED_IN = {
    model: {**SPECIES[model]["grammar"], "parts": occupation_parts(model)}
    for model in dict.fromkeys(DICTIONARIES[name]["model"] for name, _ in ASSOCIATED)
}


def dictionary_labels():
    """What figures call dictionaries; and, where several differ in their seed alone, all of these together."""
    families = {
        entry["family"]: entry["family_label"] for name, entry in DICTIONARIES.items() if name in SEEDED
    }
    return {**families, **{name: entry["label"] for name, entry in DICTIONARIES.items()}}


def model_labels():
    return {model: CONFIG["models"][model]["label"] for model in GENERATED}


def benchmark_files(benchmark):
    entry = BENCHMARKED[benchmark]
    return [str(path) for path in bias_files(entry["format"], entry["path"])]


def edit_entry(model):
    """Which edit makes a model: that of some features, or the one that was chosen on a contrast at a cost."""
    keys = ("dictionary", "contrast", "cost", "features", "edit", "coefficient", "positions")
    return {key: CONFIG["models"][model][key] for key in keys}


def edited_entries():
    return {model: {"base": entry["base"], **edit_entry(model)} for model, entry in EDITED.items()}


def chosen_edits(model):
    """What was chosen on the contrast of an edited model, if it has one."""
    entry = CONFIG["models"][model]
    pairs = [(entry["dictionary"], entry["contrast"])] if entry["contrast"] else []
    return of_contrasts("edits", pairs, ".json")


def fired(model):
    """How the features fire that an edited model names itself, if it does."""
    entry = CONFIG["models"][model]
    return of_dictionaries("firing.parquet", [entry["dictionary"]]) if entry["features"] else []


# The page that a person opens first is no control's.
FIRST = min(DICTIONARIES, key=lambda name: name in RANDOMISED, default=None)


def page_of(dictionary):
    """The page of a dictionary; the first one stands where a person looks."""
    return f"{F}/index.html" if dictionary == FIRST else f"{F}/dictionaries/{dictionary}/index.html"


def links_from(dictionary):
    """Label → where its page lies, as seen from a dictionary's own."""
    folder = os.path.dirname(page_of(dictionary))
    return {DICTIONARIES[name]["label"]: os.path.relpath(page_of(name), folder) for name in DICTIONARIES}


def feature_figures(*names):
    """The files of those figures that the study has."""
    return [
        f"{F}/figures/{name}.{suffix}"
        for name in names
        if name in FEATURE_FIGURES
        for suffix in ("pdf", "png")
    ]


# What each part of the step leaves for a person.
FEATURE_PARTS = {
    "activations": lambda: [
        *(file for name in DICTIONARIES for file in activations(name, "held_out")),
        *(file for name in OF_SOURCE["trained"] for file in activations(name, "train")),
    ],
    "dictionaries": lambda: of_dictionaries("dictionary.json", DICTIONARIES),
    "quality": lambda: [
        *of_dictionaries("quality.json", DICTIONARIES),
        *([f"{F}/seed_agreement.csv"] if SEEDED else []),
        *feature_figures("seed_agreement"),
    ],
    "statistics": lambda: [
        *of_dictionaries("statistics.parquet", DICTIONARIES),
        *of_dictionaries("promoted.parquet", DICTIONARIES),
    ],
    "interpretation": lambda: [
        *of_dictionaries("features.csv", DICTIONARIES),
        *feature_figures("firing_density", "polysemanticity"),
    ],
    "selection": lambda: [
        *of_contrasts("selection", CONTRASTED, ".csv"),
        *of_contrasts("probing", CONTRASTED, ".csv"),
    ],
    "effects": lambda: [
        *([f"{F}/effects.csv", f"{F}/effects_by_item.csv"] if EDITABLE else []),
        *([f"{F}/truth.csv"] if ASSOCIATED else []),
        *feature_figures("effects", "effects_by_item", "truth"),
    ],
    "steering": lambda: [f"{F}/steering/{name}.csv" for name in STEERINGS],
    "bias": lambda: [f"{F}/bias.csv"] if BIASED else [],
    "pages": lambda: [page_of(name) for name in DICTIONARIES],
}
# What a part of which there is nothing would need.
LACKING = {
    "selection": "features.contrasts: got nothing; allowed: at least one contrast.",
    "effects": "features.contrasts: got nothing; allowed: at least one contrast, and a dictionary that is no control.",
    "steering": "features.steering: got nothing; allowed: at least one, in a file or by "
    "--config 'features={steering: {mine: {dictionary: ..., feature: 12, prompt: \"She said\"}}}'.",
    "bias": "features.benchmarks: got nothing; allowed: at least one data set that you bring.",
}


def feature_part(part):
    """What one part of the step `features` leaves for a person."""
    if not DICTIONARIES:
        raise WorkflowError(
            "config: study.steps: got no step features; allowed: `steps: [features]` and at least one dictionary, "
            "as in studies/gpt2_gender.yaml."
        )
    found = FEATURE_PARTS[part]()
    if not found:
        raise WorkflowError(f"config: {LACKING[part]}")
    return found


def features_targets():
    """All that the step `features` leaves for a person, given what the study has."""
    lacking = {"selection": CONTRASTED, "effects": EDITABLE, "steering": STEERINGS, "bias": BIASED}
    return [
        *(file for part in FEATURE_PARTS if lacking.get(part, True) for file in feature_part(part)),
        *(f"{F}/{name}.csv" for name in ("quality", "polysemanticity", "probing", "selected")),
        *(manifest(model) for model in EDITED),
        *([f"{F}/edited.csv"] if COMPARES_EDITED else []),
        *feature_figures(*FEATURE_FIGURES),
    ]
