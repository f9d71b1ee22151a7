"""Does it matter how far apart two words may stand?

Reads the counts of all axes; writes them with their ranks, and how far windows agree.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables, write_csv
from leakscope.ground.agreement.windows import rank_counts, window_agreement
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    counts, output = read_tables(snakemake.input.counts), snakemake.output
    write_csv(window_agreement(counts, **snakemake.params.settings), Path(output.agreement))
    write_csv(rank_counts(counts), Path(output.counts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
