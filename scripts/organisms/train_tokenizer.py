"""How does an organism split text into tokens?

Reads grammar parts; writes a tokenizer that all organisms trained on these parts share, whatever their strength, so
that their candidates have the same tokens.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.organisms.grammar_files import THINKS, part_folders
from leakscope.organisms.languages import load_language
from leakscope.organisms.training import train_tokenizer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    folders = part_folders(snakemake.input.grammar)
    language = load_language([folders[part] for part in snakemake.params.parts], strength=0.0)
    thinks = snakemake.wildcards.grammar.endswith(THINKS)
    tokenizer = train_tokenizer(language.sentences(), snakemake.params.vocab_size, thinks=thinks)
    tokenizer.save_pretrained(Path(snakemake.output[0]).parent)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
