"""What does a step of a study look like?

Reads the tables of all its figures; writes each figure as PDF and PNG. One that cannot be drawn says so in its place,
and keeps no other from being drawn.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leakscope.figures.drawing import Context, draw
from leakscope.figures.fitting import Drawing
from leakscope.figures.look import Looks, looking
from leakscope.figures.style import placeholder, save_figure
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


logger = logging.getLogger(__name__)


class Plot(NamedTuple):
    """One figure: its name, its tables, and where it goes."""

    step: str
    figure: str
    tables: dict[str, Path]
    context: Context
    pdf: Path
    png: Path


def plot(one: Plot) -> None:
    """Draw one figure; of one that cannot be drawn the log says why, and its files that it is lacking."""
    try:
        drawing = draw(one.step, one.figure, one.tables, one.context)
    except Exception as error:
        # Whatever it is: Snakemake deletes all outputs of a job that fails, and with them the other figures.
        logger.warning("%s could not be drawn: %s", one.figure, error)
        logger.info("failed", exc_info=True)
        lacking = placeholder(f"{one.figure} could not be drawn; the log of plot_{one.step} says why")
        drawing = Drawing((lacking,), lacking)
    with looking(one.context.look):
        save_figure(drawing.pages, one.pdf, one.png, drawing.short)


def main(snakemake: "Snakemake") -> None:
    params, output = snakemake.params, snakemake.output
    # Behind the tables stands the file of the style, where there is one.
    files = dict(zip(params.tables, map(Path, snakemake.input.tables), strict=False))
    context = Context(**params.context | {"look": Looks(**params.context["look"])})
    plots = [
        Plot(params.step, figure, {table: files[table] for table in tables}, context, Path(pdf), Path(png))
        for (figure, tables), pdf, png in zip(params.figures.items(), output.pdf, output.png, strict=True)
    ]
    draw_all(plots, snakemake.threads)


def draw_all(plots: Sequence[Plot], n_processes: int) -> None:
    """Draw all figures, in so many processes; a fork need not import again what this process has imported."""
    if n_processes == 1:
        for one in plots:
            plot(one)
        return
    with ProcessPoolExecutor(n_processes, get_context("fork")) as processes:
        list(processes.map(plot, plots))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
