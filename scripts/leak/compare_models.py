"""Does one model leak more than another on the same prompts?

Reads all units and pairs of a study; writes paired differences with permutation p-values, corrected for their number.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job
from leakscope.leak.measures.comparisons import compare_models

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    units, pairs = read_tables(snakemake.input.units), read_tables(snakemake.input.pairs)
    settings = snakemake.params
    table = compare_models(units, pairs, settings.level, settings.permutations, primary=settings.primary)
    write_csv(table, Path(snakemake.output.comparisons))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
