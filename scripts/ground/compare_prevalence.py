"""Does a corpus speak of a group as often as the group is affected?

Reads counts and prevalence of the axes that have both; writes ranks, shares, and their differences with
margins of error.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_csv
from leakscope.ground.agreement.joined import counts_of, prevalence_of
from leakscope.ground.agreement.prevalence_gaps import COLUMNS, prevalence_gaps
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    settings, tables = snakemake.params.settings, [pd.DataFrame(columns=COLUMNS)]
    for counts_path, prevalence_path in zip(snakemake.input.counts, snakemake.input.prevalence, strict=True):
        counts = counts_of(pd.read_parquet(counts_path), settings["window"], settings["unit"])
        prevalence = prevalence_of(pd.read_parquet(prevalence_path))
        tables.append(prevalence_gaps(Path(counts_path).stem, counts, prevalence, settings["top"], settings["level"]))
    write_csv(pd.concat(tables[1:] or tables, ignore_index=True), Path(snakemake.output.gaps))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
