"""Which of a task's items may a model be trained on, and which is it tested on?

Reads items; writes the split of each.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.jobs.job import job
from leakscope.validate.tasks.splits import split_items, write_splits

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params = snakemake.params
    items = pd.read_parquet(snakemake.input.item_table)
    splits = split_items(items, snakemake.wildcards.split, params.test_share, params.seed)
    write_splits(splits, Path(snakemake.output.splits))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
