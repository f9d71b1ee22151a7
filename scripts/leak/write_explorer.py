"""What did the models write, prompt by prompt?

Reads all prompts and comparisons of a study; writes one self-contained page to search and filter them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables
from leakscope.jobs.job import job
from leakscope.leak.explorer import cut_texts, explorer_rows, write_explorer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    pairs, page = read_tables(snakemake.input.pairs), Path(snakemake.output.page)
    prompts, texts, thoughts = (snakemake.input[name] for name in ("prompts", "texts", "thoughts"))
    generations = read_tables(thoughts) if thoughts else None
    rows = explorer_rows(pairs, read_tables(prompts), read_tables(texts), generations)
    study, scorers = snakemake.params.study, snakemake.params.scorers
    write_explorer(rows, page, study=study, scorers=scorers, metadata=cut_texts(pairs))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
