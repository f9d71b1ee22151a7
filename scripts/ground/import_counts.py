"""How often do subjects and groups stand near each other, as someone else has counted?

Reads tables of a subject, a group and a count; writes them under the study's names.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv, write_table
from leakscope.ground.imported import import_counts
from leakscope.ground.naming import axis_naming
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    axis, output = snakemake.params.axis, snakemake.output
    windows = [int(window) if window else None for window in axis["windows"]]
    paths = dict(zip(windows, map(Path, snakemake.input.tables), strict=True))
    table = import_counts(paths, snakemake.wildcards.tabulated_axis, axis_naming(axis["naming"]), axis["columns"])
    write_csv(table, Path(output.table))
    write_table(table, Path(output.counts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
