"""Which concept does a model name when another, or the same, was mentioned?

Reads all prompts, slot candidates and generations of a study; writes the matrix prompt concept × generated concept.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job
from leakscope.leak.named_concepts import concept_matrix

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    prompts = read_tables(snakemake.input.prompts)
    candidates = read_tables(snakemake.input.candidates)
    texts = read_tables(snakemake.input.generations)
    matrices = [
        concept_matrix(rows, candidates, texts[texts["prompt_set"] == name])
        for name, rows in prompts.groupby("prompt_set", sort=False)
    ]
    write_csv(pd.concat(matrices, ignore_index=True), Path(snakemake.output.matrix))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
