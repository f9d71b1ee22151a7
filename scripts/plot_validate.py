"""What does the gap between generator and validator look like?

Reads the tables of one figure; writes the figure as PDF and PNG.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.figures.style import save_figure
from leakscope.figures.validate.drawing import draw
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, output = snakemake.params, snakemake.output
    tables = {Path(path).stem: Path(path) for path in snakemake.input.tables}
    full, short = draw(params.figure, tables, labels=params.labels, bases=params.bases)
    save_figure(full, Path(output.pdf), Path(output.png), short)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
