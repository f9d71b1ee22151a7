"""Are the judges fit to say how far models leak?

Reads items, judges' answers, and what is known of organisms: prompts, exact candidate log-probabilities and the
grammar; writes how each judge answers, how near it is to known rates, and whether it is fit.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job
from leakscope.leak.known.truth import known_laws
from leakscope.leak.rating.judge_truth import exact_rates
from leakscope.leak.rating.judge_verdicts import judge_verdicts
from leakscope.organisms.grammar_files import part_folders
from leakscope.organisms.leak_grammar import load_grammar

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, params = snakemake.input, snakemake.params
    folders, laws = part_folders(given.grammar), params.laws
    grammars = {
        model: load_grammar([folders[part] for part in law["parts"]], law["strength"], law.get("except", ()))
        for model, law in laws["grammars"].items()
    }
    # A study may have no organism whose candidates are known, and then there are no scores of any.
    scores = read_tables(given.scores) if given.scores else None
    prompts = read_tables(given.prompts) if given.prompts else pd.DataFrame()
    candidates = (
        read_tables(given.candidates) if given.prompts else pd.DataFrame(columns=["candidate", "concept_group"])
    )
    known = exact_rates(known_laws(grammars, laws["temperatures"], laws["max_new_tokens"], prompts, scores), candidates)
    judged = dict(zip(params.judges, map(pd.read_parquet, given.judged), strict=True))
    table = judge_verdicts(judged, pd.read_parquet(given.sampled), known, params.judges, params.level)
    write_csv(table, Path(snakemake.output.verdicts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
