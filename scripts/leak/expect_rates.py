"""Which rates would a perfect measurement give?

Reads prompts, exact candidate log-probabilities, texts drawn of organisms that write sentences, similarities and the
grammar; writes the rates of the grammar and of each organism, pooled and apart for filler and template combinations
that the corpus held or withheld.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job
from leakscope.leak.known import drawn_truth, truth
from leakscope.organisms.grammar_files import part_folders
from leakscope.organisms.leak_grammar import load_grammar

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, params = snakemake.input, snakemake.params
    folders = part_folders(given.grammar)
    grammars = {
        model: load_grammar([folders[part] for part in law["parts"]], law["strength"], law.get("except", ()))
        for model, law in params.grammars.items()
    }
    scored = {scorer: read_tables([path]) for scorer, path in zip(params.scorers, given.similarity, strict=True)}
    similarities = {scorer: truth.similarity_lookup(table) for scorer, table in scored.items()}
    prompts = read_tables(given.prompts)
    # A study may have organisms of one kind alone.
    scores = read_tables(given.scores) if given.scores else None
    laws = truth.known_laws(grammars, params.temperatures, params.max_new_tokens, prompts, scores, params.languages)
    texts = read_tables(given.drawn) if given.drawn else None
    drawn = drawn_truth.drawn_truth(texts, prompts, grammars, scored, params.decimals)
    expected = pd.concat([truth.expected_by_prompt(laws, grammars, similarities, params.decimals), drawn.expected])
    write_csv(truth.true_rates_by_split(expected, read_tables(given.pairs)), Path(snakemake.output.by_split))
    matches = pd.concat([truth.true_match_rates(laws, similarities, params.decimals), drawn.matches])
    shifts = truth.true_shifts(laws, grammars, read_tables(given.candidates))
    table = truth.true_rates(expected).merge(matches, on=truth.KEYS, how="left")
    table = table.merge(shifts, on=["model", "prompt_set", "category"], how="left")
    write_csv(drawn_truth.with_errors(table, drawn.errors), Path(snakemake.output.truth))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
