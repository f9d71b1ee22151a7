"""Which Leak-Rate would a perfect measurement give?

Reads prompts, exact candidate log-probabilities, similarities and the grammar; writes the exact Leak-Rates of the
grammar and of each organism, pooled and apart for filler and template combinations that the corpus held or withheld.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job
from leakscope.leak.truth import expected_by_prompt, true_rates, true_rates_by_split
from leakscope.organisms.grammar_files import part_folders
from leakscope.organisms.leak_grammar import load_grammar

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, folders = snakemake.params, part_folders(snakemake.input.grammar)
    grammars = {
        model: load_grammar([folders[part] for part in law["parts"]], law["strength"])
        for model, law in params.grammars.items()
    }
    similarities = {
        scorer: read_tables([path]) for scorer, path in zip(params.scorers, snakemake.input.similarity, strict=True)
    }
    expected = expected_by_prompt(
        grammars,
        params.temperatures,
        params.max_new_tokens,
        read_tables(snakemake.input.prompts),
        read_tables(snakemake.input.scores),
        similarities,
        decimals=params.decimals,
    )
    write_csv(true_rates_by_split(expected, read_tables(snakemake.input.pairs)), Path(snakemake.output.by_split))
    write_csv(true_rates(expected), Path(snakemake.output.truth))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
