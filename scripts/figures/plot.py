"""What does a step of a study look like?

Reads the tables of all its figures; writes each figure as PDF and PNG.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leakscope.errors import InputError
from leakscope.figures.drawing import Context, draw
from leakscope.figures.style import save_figure
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


class Plot(NamedTuple):
    """One figure: its name, its tables, and where it goes."""

    step: str
    figure: str
    tables: dict[str, Path]
    context: Context
    pdf: Path
    png: Path


def plot(one: Plot) -> str | None:
    """Draw one figure; return what is wrong with it, if anything."""
    try:
        full, short = draw(one.step, one.figure, one.tables, one.context)
        save_figure(full, one.pdf, one.png, short)
    except InputError as error:
        return f"{one.figure}: {error}"
    return None


def main(snakemake: "Snakemake") -> None:
    params, output = snakemake.params, snakemake.output
    files = dict(zip(params.tables, map(Path, snakemake.input.tables), strict=True))
    context = Context(**params.context)
    plots = [
        Plot(params.step, figure, {table: files[table] for table in tables}, context, Path(pdf), Path(png))
        for (figure, tables), pdf, png in zip(params.figures.items(), output.pdf, output.png, strict=True)
    ]
    mistakes = [mistake for mistake in draw_all(plots, snakemake.threads) if mistake]
    if mistakes:
        raise InputError("; ".join(mistakes))


def draw_all(plots: Sequence[Plot], n_processes: int) -> list[str | None]:
    """Draw all figures, in so many processes; a fork need not import again what this process has imported."""
    if n_processes == 1:
        return [plot(one) for one in plots]
    with ProcessPoolExecutor(n_processes, get_context("fork")) as processes:
        return list(processes.map(plot, plots))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
