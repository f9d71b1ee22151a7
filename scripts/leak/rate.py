"""Can people tell which of two texts belongs to which of two concepts?

Reads the sample of comparisons; writes the page that asks people, and the same questions as a sheet.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.leak.rating.page import sheet, write_rating_page

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    items, output = pd.read_parquet(snakemake.input.sample), snakemake.output
    write_csv(sheet(items), Path(output.sheet))
    write_rating_page(items, Path(output.page), study=snakemake.params.study)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
