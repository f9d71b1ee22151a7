"""What became of a model's ranking when it was trained further?

Reads all scores; writes the agreement of each pair of models, and which group's first places went to which.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables, write_csv
from leakscope.ground.agreement.aligned import compare_aligned
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    scores, params = read_tables(snakemake.input.scores), snakemake.params
    pairs, changes = compare_aligned(scores, params.pairs, **params.settings)
    write_csv(changes, Path(snakemake.output.changes))
    write_csv(pairs, Path(snakemake.output.pairs))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
