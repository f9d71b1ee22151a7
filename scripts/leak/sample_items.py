"""Which pairs of texts do judges and people compare?

Reads all prompts and texts of a study; writes a sample of the comparisons of the match rate.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables, write_table
from leakscope.jobs.job import job
from leakscope.leak.rating.items import sample_items

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

logger = logging.getLogger(__name__)


def main(snakemake: "Snakemake") -> None:
    generations, settings = read_tables(snakemake.input.generations), snakemake.params
    parts = []
    for path in snakemake.input.prompts:
        prompts = pd.read_parquet(path)
        written = generations[generations["prompt_set"].isin(prompts["prompt_set"])]
        parts.append(sample_items(prompts, written, settings.n_items, settings.seed))
    items = pd.concat(parts, ignore_index=True)
    for (model, prompt_set), rows in items.groupby(["model", "prompt_set"], sort=False):
        logger.info("%s, %s: %d items", model, prompt_set, len(rows))
    write_table(items, Path(snakemake.output.sample))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
