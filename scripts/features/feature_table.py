"""What is known of each feature of a dictionary?

Reads statistics, firing and explanations; writes them as one table, for the page and for a person.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.features.description.feature_table import feature_table, readable
from leakscope.files.tables import write_csv, write_table
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, output = snakemake.input, snakemake.output
    named = zip(snakemake.params.explainers, given.explanations, strict=True)
    table = feature_table(
        pd.read_parquet(given.statistics),
        pd.read_parquet(given.firing),
        pd.read_parquet(given.promoted),
        pd.read_parquet(given.token_counts),
        pd.read_parquet(given.tokens),
        {name: pd.read_parquet(path) for name, path in named},
    )
    write_table(table, Path(output.table))
    write_csv(readable(table), Path(output.csv))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
