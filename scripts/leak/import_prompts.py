"""Which prompts does a table that somebody brings hold?

Reads a CSV, TSV, XLSX, JSONL or Parquet table in long or in the published form; writes prompts like ``build_prompts``.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv, write_table
from leakscope.jobs.job import job
from leakscope.languages.of_prompts import Languages
from leakscope.leak.imported_prompts import import_prompts
from leakscope.leak.prompts import no_candidates

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

logger = logging.getLogger(__name__)


def main(snakemake: "Snakemake") -> None:
    path, params = Path(snakemake.input.table), snakemake.params
    how = params.sheet, params.partners, params.place, Languages(*params.languages)
    read = import_prompts(path, snakemake.wildcards.tabulated, *how)
    # No warnings, which the terminal would show: the plan has said them.
    for warning in read.warnings:
        logger.info("%s", warning)
    write_table(no_candidates(), Path(snakemake.output.candidates))
    write_csv(read.prompts, Path(snakemake.output.table))
    write_table(read.prompts, Path(snakemake.output.prompts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
