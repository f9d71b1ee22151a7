"""What does a task ask?

Reads a file of a data set; writes its items: questions, candidates, and whether they are right.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.validate.tasks.readers import read_items

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params = snakemake.params
    items = read_items(Path(snakemake.input.table), params.reader, params.seed)
    write_table(items, Path(snakemake.output.item_table))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
