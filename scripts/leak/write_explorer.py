"""What did the models write, prompt by prompt?

Reads all prompts and comparisons of a study; writes one self-contained page to search and filter them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables
from leakscope.jobs.job import job
from leakscope.leak.explorer import explorer_rows, write_explorer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    rows = explorer_rows(read_tables(snakemake.input.pairs), read_tables(snakemake.input.prompts))
    write_explorer(rows, Path(snakemake.output.page), study=snakemake.params.study, scorers=snakemake.params.scorers)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
