"""What does an organism read?

Reads grammar parts; writes training and held-out documents drawn from the grammar at one strength.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.organisms.corpus import draw_splits, write_corpus
from leakscope.organisms.grammar_files import part_folders
from leakscope.organisms.languages import load_language

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

HELD_OUT = 4000


def main(snakemake: "Snakemake") -> None:
    law, folders = snakemake.params.grammar, part_folders(snakemake.input.grammar)
    language = load_language(
        [folders[part] for part in law["parts"]], law["strength"], law.get("except", ()), law.get("thought")
    )
    splits = draw_splits(language, snakemake.params.documents, HELD_OUT, law["seed"])
    write_corpus(splits.held_out, Path(snakemake.output.held_out))
    write_corpus(splits.train, Path(snakemake.output.train))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
