"""What does a step of a study look like?

Reads the tables of all its figures; writes each figure as PDF and PNG.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.errors import InputError
from leakscope.figures.drawing import Context, draw
from leakscope.figures.style import save_figure
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, output = snakemake.params, snakemake.output
    files = dict(zip(params.tables, map(Path, snakemake.input.tables), strict=True))
    context = Context(**params.context)
    mistakes = []
    for (figure, tables), pdf, png in zip(params.figures.items(), output.pdf, output.png, strict=True):
        try:
            full, short = draw(params.step, figure, {table: files[table] for table in tables}, context)
            save_figure(full, Path(pdf), Path(png), short)
        except InputError as error:
            mistakes.append(f"{figure}: {error}")
    if mistakes:
        raise InputError("; ".join(mistakes))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
