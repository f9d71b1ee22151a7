"""What did the models write, prompt by prompt?

Reads all prompts, texts, similarities, comparisons and match rates of a study;
writes one self-contained page to search and filter them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_csv, read_tables
from leakscope.jobs.job import job
from leakscope.leak.explorer import Partners, cut_texts, explorer_rows, write_explorer
from leakscope.leak.match_tests import match_similarities, match_tests

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, params = snakemake.input, snakemake.params
    pairs, prompts, generations = (read_tables(given[name]) for name in ("pairs", "prompts", "generations"))
    rows = explorer_rows(pairs, prompts, read_tables(given.texts), generations if "thought" in generations else None)
    tests = match_tests(prompts, generations)
    similarities = {
        scorer: match_similarities(tests, pd.read_parquet(path), scorer, params.decimals)
        for scorer, path in zip(params.scorers, given.similarity, strict=True)
    }
    write_explorer(
        rows,
        Path(snakemake.output.page),
        study=params.study,
        scorers=params.scorers,
        metadata=cut_texts(pairs),
        rates=read_csv(given.rates),
        partners=Partners(tests, similarities),
    )


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
