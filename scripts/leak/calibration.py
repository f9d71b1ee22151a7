"""How far are measured rates from those that organisms are known to have?

Reads match rates, Leak-Rates and true rates; writes the mean error over organisms with its interval, and how many
measured intervals hold the true rate.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_csv, write_csv
from leakscope.jobs.job import job
from leakscope.leak.known.calibration import calibration

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, params = snakemake.input, snakemake.params
    measured = dict(zip(("match_rate", "leak_rate"), map(read_csv, given.rates), strict=True))
    table = calibration(measured, read_csv(given.truth), params.seeds, params.level)
    write_csv(table, Path(snakemake.output.table))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
