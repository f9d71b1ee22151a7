"""Does a model rank groups as its corpus counts them, or as the world is?

Reads counts, scores and prevalence of all axes; writes Kendall's tau between them, beside what a ranking reaches that
knows no subject, and every name that stands in one table and not in another.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables, write_csv
from leakscope.ground.agreement.agreed import agree
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    inputs, output = snakemake.input, snakemake.output
    prevalence = {Path(path).stem: pd.read_parquet(path) for path in inputs.prevalence}
    counts = {Path(path).stem: pd.read_parquet(path) for path in inputs.counts}
    tables = agree(counts, read_tables(inputs.scores), prevalence, **snakemake.params.settings)
    for name, table in tables.items():
        write_csv(table, Path(output[name]))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
