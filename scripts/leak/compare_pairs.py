"""Is each text closer to the concept than the text of its control, and does it say anything of its own?

Reads prompts, generations and similarities of one prompt set; writes one row a comparison, a table a scorer.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables, write_table
from leakscope.jobs.job import job
from leakscope.leak.measures.outcomes import compare_pairs

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, output = snakemake.input, snakemake.output
    prompts, generations = pd.read_parquet(given.prompts), read_tables(given.generations)
    for similarity, path in zip(given.similarity, output.pairs, strict=True):
        scores, scorer = pd.read_parquet(similarity), Path(similarity).stem
        pairs = compare_pairs(
            prompts, generations, scores, scorer, decimals=snakemake.params.decimals, closings=snakemake.params.closings
        )
        write_table(pairs, Path(path))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
