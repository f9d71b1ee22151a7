# From the configuration to the names that the rules of ground.smk use. Nothing here computes.

import hashlib

GROUND = CONFIG["ground"] if "ground" in STUDY["steps"] else {**CONFIG["ground"], "axes": {}}
AXES = GROUND["axes"]
RANKED = [model for model in STUDY["models"] if uses("ground", CONFIG["models"][model], CONFIG)]
SCORING = [model for model in RANKED if is_generated(CONFIG["models"][model])]
COUNTED_FROM = {axis: entry["counts"]["source"] for axis, entry in AXES.items()}
PREVALENT = [axis for axis, entry in AXES.items() if entry["prevalence"]]
G = f"{RESULTS}/ground"


def corpus_of(axis):
    """The files that an axis is counted in, and the key of their texts; None where its counts are not of files."""
    counts = AXES[axis]["counts"]
    if counts["source"] == "corpus":
        return tuple(map(str, corpus_files(counts["path"]))), counts["text"]
    if counts["source"] == "organism":
        return (f"{CORPORA}/{corpus_name(SPECIES[counts['model']])}.jsonl",), "text"
    return None


# Axes in the same files are counted in one pass, which has the name of the first of them.
CORPUS_AXES = {}
for axis in AXES:
    if corpus_of(axis):
        CORPUS_AXES.setdefault(corpus_of(axis), []).append(axis)
CORPUS_AXES = {axes[0]: axes for axes in CORPUS_AXES.values()}
CORPUS_OF = {axis: corpus for corpus, axes in CORPUS_AXES.items() for axis in axes}


def part_files_of(corpus):
    """The files of a corpus by the name of what is counted of each: a new file makes no other be counted again."""
    digests = {path: hashlib.sha256(path.encode()).hexdigest()[:8] for path in corpus_of(corpus)[0]}
    return {f"{Path(path).name.split('.')[0]}-{digest}": path for path, digest in digests.items()}


def count_parts(corpus, suffix):
    """What the jobs that count a corpus write, one for each of its files."""
    return [f"{G}/counts/{corpus}.parts/{part}{suffix}" for part in part_files_of(corpus)]


def lexicon_files(axes):
    return sorted({path for axis in axes for path in (AXES[axis]["lexicons"] or {}).values()})


def naming_files(axis):
    """What decides how an axis's subjects and groups are called."""
    return [*lexicon_files([axis]), *filter(None, [AXES[axis]["names"]])]


def naming_settings(axis):
    return {key: AXES[axis][key] for key in ("lexicons", "names", "rename", "groups", "exclude")}


def count_tables(axis):
    """The tables of an axis's imported counts, by their window ("" for one that is not known)."""
    counts = AXES[axis]["counts"]
    paths = counts["path"]
    return paths if isinstance(paths, dict) else {str(counts["window"] or ""): paths}


def all_windows():
    return sorted({*GROUND["windows"], *filter(None, [GROUND["window"]])})


def scores_inputs(wildcards):
    return score_files(CONFIG["models"][wildcards.model]["path"][wildcards.axis], GROUND["languages"])


def counts_tables():
    return [f"{G}/counts/{axis}.parquet" for axis in AXES]


def scores_tables():
    return [f"{G}/scores/{model}/{axis}.parquet" for axis in AXES for model in RANKED]


def prevalence_tables():
    return [f"{G}/prevalence/{axis}.parquet" for axis in PREVALENT]


def sentence_files(axis):
    return [str(template_file(Path(AXES[axis]["templates"]), language)) for language in GROUND["languages"]]


def comparison_settings(*keys):
    """What of `ground` a comparison depends on."""
    return {key: GROUND[key] for key in ("level", "resamples", *keys)}


def ground_targets():
    """All that the step `ground` leaves for a person, given what the study has."""
    if not AXES:
        raise WorkflowError(
            "config: study.steps: got no step ground; allowed: `steps: [ground]` and at least one axis, "
            "as in studies/conditions.yaml."
        )
    tables = ["counts_by_window", "window_agreement", "kendall_tau", "first_and_last", "template_variation"]
    tables += ["prevalence_gaps"] if PREVALENT else []
    tables += ["aligned_pairs"] if GROUND["aligned_pairs"] else []
    tables += ["organisms"] if any(model in ORGANISMS for model in RANKED) else []
    return [
        *(f"{RESULTS}/organisms.csv" if name == "organisms" else f"{G}/{name}.csv" for name in tables),
        *(f"{G}/figures/{name}.{suffix}" for name in GROUND_FIGURES for suffix in ("pdf", "png")),
    ]
