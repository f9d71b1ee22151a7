"""What can the study see: which rates are told from 50, which models apart?

Reads prompts, and results of the study if there are any; writes a table, and says it in words.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job
from leakscope.leak.measures import planning, spread

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, asked = snakemake.params, snakemake.params.plan
    settings = planning.Settings(asked["power"], asked["rate"], 1 - params.level, params.permutations, params.n_cells)
    prompts = [pd.read_parquet(path) for path in snakemake.input.prompts]
    samples, pilots = dict(params.samples), []
    if params.units and params.texts:
        texts = read_tables(params.texts)
        pilots.append(spread.spread_of_matches(read_tables(params.units), texts, pd.concat(prompts)))
        samples = spread.samples_of(texts) | {name: k for name, k in samples.items() if k}
    if params.pairs:
        pilots.append(spread.spread_of_leaks(read_tables(params.pairs)))
    expected = spread.expected_spread(prompts, params.scorers, pilots, spread.assumed(asked))
    table = planning.plan(expected, {name: samples[name] or 1 for name in samples}, params.n_models, settings)
    write_csv(table, Path(snakemake.output.plan))
    sys.stdout.write("\n\n".join(planning.in_words(table, settings)) + "\n")


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
