"""What do mitigations cost by tasks of lm-eval?

Reads the scores of every model with and without each mitigation; writes a row a mitigation, task and metric.

Inputs: ``scores`` and ``chosen``, lists in the order of ``trials`` (``[[model, prompt set, mitigation]]``). Parameter
beside it: ``cost``, at which strengths were chosen. Output: ``tasks``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.storage.manifests import read_manifest
from leakscope.trace.harness_table import Trial, compare_tasks

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, inputs = snakemake.params, snakemake.input
    trials = []
    for names, scores, chosen in zip(params.trials, inputs.scores, inputs.chosen, strict=True):
        best = read_manifest(Path(chosen))["chosen"].get(f"{params.cost:g}")
        trials.append(Trial(*names, best and best["strength"], pd.read_parquet(scores)))
    write_csv(compare_tasks(trials), Path(snakemake.output.tasks))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
