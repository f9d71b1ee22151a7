# leakscope: how associations learnt by a language model leak where they do not belong.
# What can be built stands here; how each thing is built stands in rules/, in a folder for each step.

from snakemake.utils import min_version

# The version of the lock: older ones lack pathvars.
min_version("9.27")


report: "report/workflow.rst"


include: "rules/common.smk"


if study.config["container"]:

    containerized: study.config["container"]


include: "rules/models/checkpoints.smk"
include: "rules/organisms/organisms.smk"
include: "rules/leak/prompts.smk"
include: "rules/leak/generations.smk"
include: "rules/leak/similarity.smk"
include: "rules/leak/leakage.smk"
include: "rules/leak/judges.smk"
include: "rules/leak/figures.smk"
include: "rules/leak/plan.smk"
include: "rules/leak/rating.smk"
include: "rules/leak/exports.smk"
include: "rules/ground/counts.smk"
include: "rules/ground/scores.smk"
include: "rules/ground/agreement.smk"
include: "rules/validate/asking.smk"
include: "rules/validate/gap.smk"
include: "rules/validate/tuning.smk"
include: "rules/features/dictionaries.smk"
include: "rules/features/description.smk"
include: "rules/features/contrasts.smk"
include: "rules/features/interventions.smk"
include: "rules/features/bias.smk"
include: "rules/features/figures.smk"
include: "rules/trace/links.smk"
include: "rules/trace/patching.smk"
include: "rules/trace/mitigations.smk"
include: "rules/trace/page.smk"
include: "rules/report/page.smk"
include: "rules/report/card.smk"


# In a module the handler of the workflow that uses it counts, and this one does not.
onerror:
    for line in failures():
        logger.error(line)


onsuccess:
    forget_failures(study, RESULTS)
    note_run()


# Targets, and what needs the network, run where Snakemake does: on a cluster, jobs may have none.
rule all:
    input:
        lambda w: ["<results>/index.html", *(file for step in study.steps for file in targets(step))],
    localrule: True


# The main job: match rates, exact truth where it is known, figures, and a page to read the texts in.
rule leak:
    input:
        lambda w: targets("leak"),
    localrule: True


# What other tools read: a model page's evaluation block, logs of inspect_ai, tasks of lm-eval.
rule exports:
    input:
        leak.exports,
    localrule: True


# Does a model rank pairs as its corpus counts them, or as the world is?
rule ground:
    input:
        lambda w: targets("ground"),
    localrule: True


# Does a model affirm what it generates, and can it be taught to?
rule validate:
    input:
        lambda w: targets("validate"),
    localrule: True


# Which features of its residual stream carry an association, and what does a model do without them?
rule features:
    input:
        lambda w: targets("features"),
    localrule: True


# Where does one association come from, where in a model is it read, and where does it go?
rule trace:
    input:
        lambda w: targets("trace"),
    localrule: True


# What is known of each model, to be sent and compared: the texts stay in the explorer.
rule card:
    input:
        [*expand("<results>/card/{model}.html", model=page.cards), *page.of("leak", "<results>/explorer.html")],
    localrule: True


# Everything that needs the network, for machines whose jobs have none.
rule fetch_models:
    input:
        expand("<models>/{hub_model}/model.json", hub_model=study.on_hub),
        expand("<models>/gguf_files/{hub_gguf}.json", hub_gguf=study.hub_gguf),
        expand("<models>/gguf_files/{package_model}.gguf", package_model=study.of_source("package")),
        expand("<models>/encoders/{scorer}.json", scorer=study.hub_scorers),
        expand("<features>/dictionaries/{hub_dictionary}/dictionary.json", hub_dictionary=features.of_source("hub")),
    localrule: True


# All rules are known here: in a module these, and not those of the workflow that uses it, whose own messages stay.
for defined in workflow.modifier.rules:
    if defined.script and not defined.message:
        defined.message = message(defined)
