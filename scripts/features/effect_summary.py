"""What do edits leave of contrasts, those of all dictionaries side by side?

Reads the effects of each dictionary on each contrast; writes them as one table, with what features leave less what the
difference in means leaves, and the gaps of single items as another.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.features.interventions.choosing import compared_with_difference
from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, output = snakemake.input, snakemake.output
    tables = [
        compared_with_difference(pd.read_parquet(effects), pd.read_parquet(by_item), snakemake.params.level)
        for effects, by_item in zip(given.effects, given.by_item, strict=True)
    ]
    write_csv(pd.concat(tables, ignore_index=True), Path(output.effects))
    write_csv(read_tables(given.by_item), Path(output.by_item))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
