"""What does a study look like?

Reads the tables of one figure; writes the figure as PDF and PNG.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.figures import draw, save_figure
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    full, short = draw(
        snakemake.params.figure,
        {Path(path).stem: Path(path) for path in snakemake.input.tables},
        labels=snakemake.params.labels,
        sizes=snakemake.params.sizes,
        matrix=snakemake.params.matrix,
    )
    save_figure(full, Path(snakemake.output.pdf), Path(snakemake.output.png), short)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
