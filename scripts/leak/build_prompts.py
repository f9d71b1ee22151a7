"""Which prompts does a set of templates make?

Reads the templates of one prompt set and its lexicons; writes prompts (with a CSV for people) and slot candidates.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv, write_table
from leakscope.jobs.job import job
from leakscope.languages.of_prompts import Languages
from leakscope.leak.prompts import build_prompts

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    files, params = [Path(file) for file in snakemake.input.files], snakemake.params
    built = build_prompts(files, snakemake.wildcards.templated, params.place, Languages(*params.languages))
    write_table(built.candidates, Path(snakemake.output.candidates))
    write_csv(built.prompts, Path(snakemake.output.table))
    write_table(built.prompts, Path(snakemake.output.prompts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
