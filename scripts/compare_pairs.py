"""Is each text closer to the concept than the text of its control?

Reads prompts, generations and similarities of one prompt set and scorer; writes one row a comparison.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables, write_table
from leakscope.jobs.job import job
from leakscope.leak.outcomes import compare_pairs

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    pairs = compare_pairs(
        pd.read_parquet(snakemake.input.prompts),
        read_tables(snakemake.input.generations),
        pd.read_parquet(snakemake.input.similarity),
        snakemake.wildcards.scorer,
        decimals=snakemake.params.decimals,
    )
    write_table(pairs, Path(snakemake.output.pairs))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
