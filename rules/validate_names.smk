# From the configuration to the names that the rules of validate.smk and validate_tuning.smk use. Nothing here computes.

from leakscope.validate.tuning.methods import ADAPTER_FILES, FULL_FILES, trains_all

VALIDATE = CONFIG["validate"]
# What is asked here, and what others have asked: the tasks of imported scores need be none of the study's own.
ASKED_MODELS = [model for model in STUDY["models"] if is_generated(CONFIG["models"][model])]
ASKED_TASKS = list(VALIDATE["tasks"]) if ASKED_MODELS else []
BROUGHT = {
    model: imported_scores("validate", CONFIG["models"][model], CONFIG)
    for model in STUDY["models"]
    if CONFIG["models"][model]["source"] == "scores"
}
ALL_TASKS = list(dict.fromkeys([*ASKED_TASKS, *(task for files in BROUGHT.values() for task in files)]))
# Pairs of model and task, in the order of tables.
SCORED = [
    [model, task]
    for task in ALL_TASKS
    for model in STUDY["models"]
    if (model in ASKED_MODELS and task in ASKED_TASKS) or task in BROUGHT.get(model, {})
]
ASKED = [[model, task] for model, task in SCORED if model in ASKED_MODELS]
LAYERED = ASKED if VALIDATE["layers"] else []
# What is measured before and after its gap was closed.
TUNED = {
    model: CONFIG["models"][model] for model in ASKED_MODELS if CONFIG["models"][model]["source"] == "tuned"
}
BASES = {model: foundation(model) for model in TUNED}
COMPARED = [model for model in ASKED_MODELS if model in TUNED or model in BASES.values()]
COMPARED_ON = {
    (compared, entry["task"]) for model, entry in TUNED.items() for compared in (model, BASES[model])
}
CLOSED = [[model, task] for model, task in ASKED if (model, task) in COMPARED_ON]
SPLITS = [list(split) for split in dict.fromkeys((entry["task"], entry["split"]) for entry in TUNED.values())]
VALIDATED = [model for model in STUDY["models"] if any(model == scored for scored, _ in SCORED)]


def taxonomy_parts(model):
    """The parts of an organism's grammar that plant a gap between generator and validator."""
    parts = CONFIG["models"][model]["grammar"]["parts"] if model in SPECIES else []
    return [part for part in parts if is_taxonomy(Path("data/grammar") / part)]


# What was tuned is no longer what was planted.
PLANTED = [model for model in ASKED_MODELS if model not in TUNED and taxonomy_parts(model)]


def score_tables(pairs):
    return [f"{V}/scores/{model}/{task}.parquet" for model, task in pairs]


def item_tables(pairs):
    """The items of each pair of model and task; imported scores bring their own."""
    return [
        f"{V}/items/{task}.parquet" if model in ASKED_MODELS else f"{V}/scores/{model}/{task}.items.parquet"
        for model, task in pairs
    ]


def split_files():
    return [f"{V}/splits/{task}.{split}.csv" for task, split in SPLITS]


def asked_tables(kind, pairs):
    """What the models that are asked leave of one kind: ranks, completions, layers."""
    return [f"{V}/{kind}/{model}/{task}.parquet" for model, task in pairs]


def form_files():
    return [VALIDATE["tasks"][task]["forms"] for task in ASKED_TASKS]


def of_tasks(key):
    return {task: VALIDATE["tasks"][task][key] for task in ASKED_TASKS}


def task_settings(task, *keys):
    """What of a task decides how a model is asked about it; its files are inputs."""
    return {key: VALIDATE["tasks"][task][key] for key in ("styles", *keys)}


def bootstrap_settings():
    return {key: VALIDATE[key] for key in ("level", "resamples", "seed")}


def task_of(model):
    """The task that a tuned model was trained on."""
    return CONFIG["models"][model]["task"]


def split_of(model):
    """The file that says which of the task's items it was trained on."""
    return f"{V}/splits/{task_of(model)}.{CONFIG['models'][model]['split']}.csv"


def method_settings(model):
    """How a tuned model was trained."""
    method = VALIDATE["methods"][CONFIG["models"][model]["method"]]
    return {key: value for key, value in method.items() if key != "description"}


def is_trained_whole(model):
    """Whether all of a tuned model's weights were trained; otherwise there is an adapter beside those of its base."""
    return trains_all(method_settings(model)["parameters"], is_organism=is_organism(model))


def neutral_texts(model, part):
    """What a model is kept to (`train`) or measured by (`held_out`): an organism's own corpus, else the study's file."""
    if not is_organism(model):
        return VALIDATE["neutral_text"]
    suffix = {"train": "", "held_out": ".held_out"}[part]
    return f"{CORPORA}/{corpus_name(SPECIES[foundation(model)])}{suffix}.jsonl"


@cache
def needs_of_tuning(model):
    """GPUs, memory and time of a job that tunes a model."""
    return tuning_needs(CONFIG["models"][foundation(model)], CONFIG["gpu_memory_gb"], is_trained_whole(model))


warn_of_too_few_gpus(TUNED, needs_of_tuning)


def tuning_gpus(wildcards):
    return needs_of_tuning(wildcards.model).gpus


def tuning_mem_mb(wildcards, attempt):
    return needs_of_tuning(wildcards.model).memory_mb * attempt


def tuning_runtime(wildcards):
    return needs_of_tuning(wildcards.model).minutes


def tuned_weights(whole):
    """The tuned models that have weights of their own, trained as a whole or not."""
    return [
        model
        for model, entry in CONFIG["models"].items()
        if entry["source"] == "tuned" and weights(model) == model and is_trained_whole(model) == whole
    ]


def tuned_on():
    """The task and the split that each tuned model was trained on."""
    return {model: [entry["task"], entry["split"]] for model, entry in TUNED.items()}


def tuned_entries():
    """Each tuned model, what it was tuned from and how."""
    keys = ("base", "method", "task", "split")
    return [{"model": model, **{key: entry[key] for key in keys}} for model, entry in TUNED.items()]


# Figures with a panel a model leave tuned ones to the others.
PANELLED = ["log_odds_density", "log_odds_by_layer", "form_agreement", "lens_heatmap"]
LENSES = [(model, task) for model, task in LAYERED if model not in TUNED]


def figure_labels(figure):
    """What a figure calls the models it shows."""
    shown = [model for model in VALIDATED if model not in TUNED or figure not in PANELLED]
    return {model: CONFIG["models"][model]["label"] for model in shown}


def validate_targets():
    """All that the step `validate` leaves for a person, given what the study has."""
    if "validate" not in STUDY["steps"]:
        raise WorkflowError(
            "config: study.steps: got no step validate; allowed: `steps: [validate]` and at least one task, "
            "as in studies/hypernymy.yaml."
        )
    tables = ["correlations", "accuracy", "form_agreement"]
    tables += ["layers", "parting"] if LAYERED else []
    tables += ["truth"] if PLANTED else []
    tables += ["closing"] if TUNED else []
    lenses = [f"lens_heatmap/{model}/{task}" for model, task in LENSES]
    return [
        *(f"{V}/{name}.csv" for name in tables),
        *(
            f"{V}/figures/{name}.{suffix}"
            for name in [*VALIDATE_FIGURES, *lenses]
            for suffix in ("pdf", "png")
        ),
    ]
