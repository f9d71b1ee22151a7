"""How well does a mitigated model do tasks of lm-eval?

Reads what was chosen of a mitigation, and the model's manifest; writes a row a task and metric, none where nothing
that was tried costs so little.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest
from leakscope.trace.harness import Harness, score_tasks
from leakscope.trace.harness_table import TASK_COLUMNS

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, inputs = snakemake.params, snakemake.input
    manifest = read_manifest(Path(inputs.manifest))
    if inputs.chosen:
        best = read_manifest(Path(inputs.chosen))["chosen"][f"{params.cost:g}"]
        manifest = best and best["manifest"]
    scores = pd.DataFrame(columns=TASK_COLUMNS)
    if manifest is not None:
        asked = {"chat": params.chat["chat"], "wording": params.entry.get("wording", "")}
        harness = Harness(params.tasks, params.folder, params.examples, params.batch_size)
        scores = score_tasks(open_model(manifest, params.loading), harness, **asked)
    write_table(scores, Path(snakemake.output.scores))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
