"""What do the features of a study look like, and what do edits of them do?

Reads the tables of one figure; writes the figure as PDF and PNG.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.figures.features.drawing import draw
from leakscope.figures.style import save_figure
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, output = snakemake.params, snakemake.output
    paths = [Path(path) for path in snakemake.input.tables]
    # Tables of several dictionaries have one file name; their names are given in the order of the files.
    names = params.get("names") or [path.stem for path in paths]
    full, short = draw(
        params.figure,
        dict(zip(names, paths, strict=True)),
        labels=params.labels,
        families=params.families,
        randomised=params.randomised,
        bar=params.bar,
    )
    save_figure(full, Path(output.pdf), Path(output.png), short)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
