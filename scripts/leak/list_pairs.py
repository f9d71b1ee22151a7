"""Which concepts have to be compared with which texts?

Reads all prompts, slot candidates and generations of a study, and the texts that were drawn for the truth;
writes the distinct pairs of concept and text.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables, write_table
from leakscope.jobs.job import job
from leakscope.leak.pairs import list_pairs

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    pairs = list_pairs(
        read_tables(snakemake.input.prompts),
        read_tables([*snakemake.input.generations, *snakemake.input.drawn]),
        read_tables(snakemake.input.candidates),
        snakemake.params.languages,
    )
    write_table(pairs, Path(snakemake.output.pairs))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
