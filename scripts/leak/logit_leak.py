"""How far does a concept shift the probability of its associates, sampling left out?

Reads prompts, slot candidates and their log-probabilities; writes the logit leak by model and category.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job
from leakscope.leak.measures.logit_leak import logit_leak, prompt_shifts

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    prompts = read_tables(snakemake.input.prompts)
    candidates = read_tables(snakemake.input.candidates).drop_duplicates()
    scores = read_tables(snakemake.input.scores)
    shifts = [
        prompt_shifts(rows, candidates, scores[scores["prompt_set"] == name])
        for name, rows in prompts.groupby("prompt_set", sort=False)
    ]
    write_csv(logit_leak(pd.concat(shifts), snakemake.params.level), Path(snakemake.output.table))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
