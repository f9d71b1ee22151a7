"""Which prompts are sentences with clauses that have nothing to do with them?

Reads a table of sentences and a file of clauses; writes every sentence alone, after a neutral clause, and after each
clause, like ``build_prompts``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv, write_table
from leakscope.jobs.job import job
from leakscope.languages.of_prompts import Languages
from leakscope.leak.insertions import insert_clauses
from leakscope.leak.prompts import no_candidates

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    how = params.sheet, Languages(*params.languages)
    prompts = insert_clauses(Path(given.table), Path(given.clauses), snakemake.wildcards.inserted, *how)
    write_table(no_candidates(), Path(output.candidates))
    write_csv(prompts, Path(output.table))
    write_table(prompts, Path(output.prompts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
