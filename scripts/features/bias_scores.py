"""How often does a model find the stereotyping sentence the likelier one?

Reads the scored pairs of all models and bias tests; writes scores with intervals.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.features.bias.scores import bias_scores
from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    scores = bias_scores(read_tables(snakemake.input.scores), level=snakemake.params.level)
    write_csv(scores, Path(snakemake.output.bias))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
