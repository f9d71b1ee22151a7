# What all rules use: the study, where its files are, what a job may take. Nothing here computes: every job of a cluster
# reads it again. What a study has, and what a step's jobs are given, is said by leakscope.workflow.

import sys
from functools import partial
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import get_wildcard_names
from snakemake.logging import logger

# Not `workflow.basedir`, which in a module is the folder of the workflow that uses it.
sys.path.insert(0, str(Path(workflow.current_basedir).parent / "scripts"))

from leakscope.errors import InputError
from leakscope.files import finding
from leakscope.jobs.dependencies import data_files, imported_first_by_jobs, question, script_files
from leakscope.jobs.redaction import hide_in_logs
from leakscope.jobs.resources import short_of_gpus
from leakscope.storage.manifests import ADAPTER_FILES
from leakscope.validate.tuning.methods import FULL_FILES
from leakscope.workflow.failures import FailedJob, failed_models, failure_lines, forget_failures, note_failures
from leakscope.workflow.features import Features
from leakscope.workflow.ground import Ground
from leakscope.workflow.leak import Leak
from leakscope.workflow.opening import open_study
from leakscope.workflow.report import Report
from leakscope.workflow.resources import growing, growing_with_files, on_model
from leakscope.workflow.result_page import ResultPage
from leakscope.workflow.study import CONVERTED_FILES, TOKENIZER_FILES, WEIGHT_FILES, one_of_names
from leakscope.workflow.trace import Trace
from leakscope.workflow.validate import Validate

if not (finding.CHECKOUT / "rules").samefile(workflow.current_basedir):
    raise WorkflowError(
        f"{Path(workflow.current_basedir).parent}: got a second checkout of leakscope, beside {finding.CHECKOUT}; "
        "allowed: one in a workflow, for as many modules as it has studies."
    )
imported_first_by_jobs(finding.CHECKOUT / "scripts")
hide_in_logs()

# The `prefix:` of a module goes before relative paths alone: then those of files that are there are absolute.
PREFIXED = workflow.modifier.path_modifier.replace_prefix("results") != "results"
# A file of the checkout, for a rule to read.
own = partial(finding.own, absolute=PREFIXED)

# What a person wrote is read here, once: an input function that fails would only make Snakemake take an old output for
# a source file.
try:
    finding.check_braces(str(finding.CHECKOUT), "checkout")
    # The catalogue and config.yaml stand beneath whatever `config` holds: Snakemake drops a module's own configfile.
    study = open_study(
        config, workflow.configfiles, logger.warning, is_main=workflow.is_main_process, absolute=PREFIXED
    )
    REPORT = Report(finding.CHECKOUT / "report/entries.yaml")
except InputError as error:
    raise WorkflowError(str(error)) from None

leak, ground, validate, features, trace = (step(study) for step in (Leak, Ground, Validate, Features, Trace))
RESULTS = Path(f"results/{study.name}")
STEPS = {"leak": leak, "ground": ground, "validate": validate, "features": features, "trace": trace}
page = ResultPage(study, STEPS)

ON_MODEL = on_model(study.needs, lambda w: w.model)


def store(wildcards, output):
    """Texts, scores and embeddings that were computed once. No rule's output: Snakemake deletes outputs before a job.

    Snakemake does not watch a parameter that takes a job's output: where the store is decides no result.
    """
    return study.config["store"]


pathvars:
    results=f"results/{study.name}",
    logs="<results>/logs",
    models="results/models",
    ground="<results>/ground",
    validate="<results>/validate",
    features="<results>/features",
    trace="<results>/trace",
    dictionary="<features>/dictionaries/{dictionary}",


wildcard_constraints:
    **study.wildcards(),


def code(script, *packages):
    """The entry script, the library modules it uses and what these read: Snakemake watches no imports, nor copies."""
    files = script_files(Path(own("scripts")), script, *packages)
    return files + data_files(Path(own("scripts")), files)


def shown(path, **names):
    """A file that stands in the report, as report/entries.yaml says."""
    file, folder = map(workflow.pathvars.apply, (path, "<results>/"))
    return report(path, **REPORT.options(file.removeprefix(folder), names))


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


def failures():
    """What the terminal says last: the jobs that failed, each with its reason. `make run` reads which models they are."""
    ended = [job for failed in workflow.scheduler.failed for job in getattr(failed, "jobs", [failed])]
    jobs = [FailedJob(job.rule.name, job.wildcards_dict, list(map(str, job.log))) for job in ended]
    note_failures(failed_models(jobs, study), study, RESULTS)
    return failure_lines(jobs)


def note_run():
    """Write provenance.json. Where nothing was to be done Snakemake calls no handler, and the file stays as it is."""
    # Not above: jobs read this file, too, and importing it takes longer than all else here.
    from leakscope.workflow.provenance import PlannedJob, write_provenance

    scripted = [job for job in workflow.dag.jobs if job.rule.script]
    jobs = [PlannedJob(job.rule.name, tuple(map(str, job.log)), workflow.dag.finished(job)) for job in scripted]
    try:
        write_provenance(study, RESULTS, jobs, workflow.pathvars.apply)
    except InputError as error:
        logger.warning(str(error))


def message(defined):
    """What the terminal says of a rule's jobs: the rule, its wildcards, the question that it answers, its demands."""
    # Where a study does not take a step, nothing of it is written.
    output = defined.output[0] if defined.output else ""
    names = sorted(get_wildcard_names(output), key=lambda name: output.index(f"{{{name}"))
    wildcards = "".join(f" {{wildcards.{name}}}" for name in names)
    asks = (
        " [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]" if "gpu" in defined.resources else ""
    )
    script = finding.CHECKOUT / "scripts" / defined.script.partition("scripts/")[2]
    return f"{defined.name}{wildcards}: {question(script)}{asks}"
