# leakscope: how associations learnt by a language model leak where they do not belong.
# What can be built stands here; how each thing is built stands in rules/, in reading order.

from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"


if CONFIG["container"]:

    containerized: CONFIG["container"]


include: "rules/prompts.smk"
include: "rules/organisms.smk"
include: "rules/models.smk"
include: "rules/generations.smk"
include: "rules/similarity.smk"
include: "rules/leakage.smk"
include: "rules/truth.smk"
include: "rules/figures.smk"
include: "rules/explorer.smk"
include: "rules/ground_names.smk"
include: "rules/ground.smk"
include: "rules/ground_figures.smk"
include: "rules/validate_names.smk"
include: "rules/validate.smk"
include: "rules/validate_tuning.smk"
include: "rules/validate_figures.smk"
include: "rules/features_names.smk"
include: "rules/features.smk"
include: "rules/features_edits.smk"
include: "rules/features_figures.smk"


# On a cluster these run where Snakemake does: the login node has the network that jobs may lack.
localrules:
    all,
    leak,
    ground,
    validate,
    features,
    features_activations,
    features_dictionaries,
    features_quality,
    features_statistics,
    features_interpretation,
    features_selection,
    features_effects,
    features_steering,
    features_bias,
    features_pages,
    fetch_models,
    fetch_model,
    fetch_encoder,
    fetch_dictionary,
    query_counts,


rule all:
    default_target: True
    input:
        [TARGETS[step]() for step in STUDY["steps"]],


# The main job: Leak-Rates, exact truth where it is known, figures, and a page to read the texts in.
rule leak:
    input:
        leak_targets(),


# Does a model rank pairs as its corpus counts them, or as the world is?
rule ground:
    input:
        lambda w: ground_targets(),


# Does a model affirm what it generates, and can it be taught to?
rule validate:
    input:
        lambda w: validate_targets(),


# Which features of its residual stream carry an association, and what does a model do without them?
rule features:
    input:
        lambda w: features_targets(),


# Parts of it, which need no more of the study than they are about.
rule features_activations:
    input:
        lambda w: feature_part("activations"),


rule features_dictionaries:
    input:
        lambda w: feature_part("dictionaries"),


rule features_quality:
    input:
        lambda w: feature_part("quality"),


rule features_statistics:
    input:
        lambda w: feature_part("statistics"),


rule features_interpretation:
    input:
        lambda w: feature_part("interpretation"),


rule features_selection:
    input:
        lambda w: feature_part("selection"),


rule features_effects:
    input:
        lambda w: feature_part("effects"),


rule features_steering:
    input:
        lambda w: feature_part("steering"),


rule features_bias:
    input:
        lambda w: feature_part("bias"),


rule features_pages:
    input:
        lambda w: feature_part("pages"),


# Everything that needs the network, for machines whose jobs have none.
rule fetch_models:
    input:
        sorted({manifest(m) for m in GENERATED if CONFIG["models"][m]["source"] == "hub"}),
        [encoder_manifest(scorer) for scorer in HUB_SCORERS],
        of_dictionaries("dictionary.json", OF_SOURCE["hub"]),
