"""How frequent is each pair in the world?

Reads a table of prevalence; writes it in cases per 10,000 persons, with the source of every row.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv, write_table
from leakscope.ground.imported import read_prevalence
from leakscope.ground.naming import axis_naming
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    axis, output = snakemake.params.axis, snakemake.output
    table = read_prevalence(
        Path(snakemake.input.table),
        snakemake.wildcards.axis,
        axis_naming(axis["naming"]),
        axis["per"],
        axis["source"],
    )
    write_csv(table, Path(output.table))
    write_table(table, Path(output.prevalence))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
