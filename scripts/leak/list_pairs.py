"""Which concepts have to be compared with which texts?

Reads all prompts, slot candidates and generations of a study, and the texts that were drawn for the truth;
writes the distinct pairs of concept and text.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables, write_table
from leakscope.jobs.job import job
from leakscope.leak.pairs import has_joined, list_pairs, with_joined

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    generations = read_tables([*snakemake.input.generations, *snakemake.input.drawn])
    candidates = read_tables(snakemake.input.candidates)
    pairs = list_pairs(
        read_tables(snakemake.input.prompts),
        generations,
        with_joined(candidates) if has_joined(generations) else candidates,
    )
    write_table(pairs, Path(snakemake.output.pairs))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
