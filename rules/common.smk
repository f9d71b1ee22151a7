# What all rules use: the study, where its files are, what a job may take. Nothing here computes: every job of a cluster
# reads it again. What a study has, and what a step's jobs are given, is said by leakscope.workflow.

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import get_wildcard_names
from snakemake.logging import logger

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from leakscope.errors import InputError
from leakscope.jobs.dependencies import imported_first_by_jobs, question, script_files
from leakscope.jobs.redaction import hide_in_logs
from leakscope.jobs.resources import short_of_gpus
from leakscope.validate.tuning.methods import ADAPTER_FILES, FULL_FILES
from leakscope.workflow.features import Features
from leakscope.workflow.ground import Ground
from leakscope.workflow.leak import Leak
from leakscope.workflow.opening import open_study
from leakscope.workflow.report import Report
from leakscope.workflow.resources import growing, growing_with_files, on_model
from leakscope.workflow.study import LEXICONS, TOKENIZER_FILES, WEIGHT_FILES, one_of_names
from leakscope.workflow.validate import Validate

imported_first_by_jobs(Path(workflow.basedir) / "scripts")
hide_in_logs()

# What a person wrote is read here, once: an input function that fails would only make Snakemake take an old output for
# a source file.
try:
    # The catalogue and config.yaml stand beneath whatever `config` holds: Snakemake drops a module's own configfile.
    checkout = Path(workflow.current_basedir).parent
    study = open_study(config, checkout, workflow.configfiles, is_main=workflow.is_main_process)
    REPORT = Report(Path(workflow.basedir) / "report/entries.yaml")
except InputError as error:
    raise WorkflowError(str(error)) from None

leak, ground, validate, features = Leak(study), Ground(study), Validate(study), Features(study)
STEPS = {"leak": leak, "ground": ground, "validate": validate, "features": features}

ON_MODEL = on_model(study.needs, lambda w: w.model)
# Texts, scores and embeddings that were computed once. No rule's output: Snakemake deletes outputs before a job.
STORE = study.config["store"]


pathvars:
    results=f"results/{study.name}",
    logs=f"results/{study.name}/logs",
    models="results/models",
    ground="<results>/ground",
    validate="<results>/validate",
    features="<results>/features",
    dictionary="<features>/dictionaries/{dictionary}",


wildcard_constraints:
    **study.wildcards(),


def code(script, *packages):
    """The entry script and the library modules it uses: Snakemake watches neither imports nor, alone, copies."""
    # Relative, so that a moved or copied checkout is the same to Snakemake.
    return script_files(Path(os.path.relpath(workflow.basedir)) / "scripts", script, *packages)


def shown(path, **names):
    """A file that stands in the report, as report/entries.yaml says."""
    file = workflow.pathvars.apply(path).removeprefix(f"results/{study.name}/")
    return report(path, **REPORT.options(file, names))


def targets(step, *part):
    """What a step, or a part of it, leaves for a person."""
    try:
        return STEPS[step].targets(*part)
    except InputError as error:
        raise WorkflowError(f"config: {error}") from None


def shards(pattern):
    """The file that each shard of a model's prompt set writes."""
    return lambda w: expand(pattern, **w, shard=study.shards(w.model, w.prompt_set))


def warn_of_too_few_gpus(models, needs):
    """Say which models need more GPUs than Snakemake may give to a job: it gives fewer, and says nothing."""
    allowed = getattr(workflow.global_resources.get("gpu"), "value", None)
    if allowed is not None and workflow.is_main_process:
        for warning in short_of_gpus({model: needs(model) for model in models}, allowed, study.config["gpu_memory_gb"]):
            logger.warning(warning)


warn_of_too_few_gpus(study.generated, study.needs)
warn_of_too_few_gpus(validate.tuned, validate.needs)


def message(defined):
    """What the terminal says of a rule's jobs: the rule, its wildcards, the question that it answers, its demands."""
    # Where a study does not take a step, nothing of it is written.
    output = defined.output[0] if defined.output else ""
    names = sorted(get_wildcard_names(output), key=lambda name: output.index(f"{{{name}"))
    wildcards = "".join(f" {{wildcards.{name}}}" for name in names)
    asks = (
        " [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]" if "gpu" in defined.resources else ""
    )
    script = Path(workflow.basedir) / "scripts" / defined.script.partition("scripts/")[2]
    return f"{defined.name}{wildcards}: {question(script)}{asks}"
