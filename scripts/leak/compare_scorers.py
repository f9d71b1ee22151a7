"""Do the scorers agree, on pairs of texts and on which model leaks more?

Reads all comparisons of a study and the models' rates; writes, for each two scorers, the correlation of what they
measure, the share of opposite outcomes, and how alike they rank the models.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_csv, read_tables, write_csv
from leakscope.jobs.job import job
from leakscope.leak.measures.agreement import scorer_agreement

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    pairs, rates = read_tables(snakemake.input.pairs), read_csv(Path(snakemake.input.rates))
    write_csv(scorer_agreement(pairs, rates, snakemake.params.rate), Path(snakemake.output.agreement))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
