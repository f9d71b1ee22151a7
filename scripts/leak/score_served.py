"""How probable does a model behind a server hold each candidate, without writing any?

Reads prompts and candidates; takes log-probabilities from the store and asks the server for the others; writes them
like ``generate``, and what was asked, answered and spent.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.leak.served_candidates import score_served_prompts
from leakscope.storage.manifests import write_manifest
from leakscope.web.taking_turns import open_scorer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, inputs, output, name = snakemake.params, snakemake.input, snakemake.output, snakemake.wildcards.served
    prompts, candidates = (
        dict(zip(params.settings, map(pd.read_parquet, paths), strict=True))
        for paths in (inputs.prompts, inputs.candidates)
    )
    with open_scorer(name, params.server, params.asking, Path(params.store)) as scorer:
        completed = score_served_prompts(scorer, prompts, candidates, name, params.settings)
    for (table, summary), scores, json in zip(completed.values(), output.scores, output.summaries, strict=True):
        write_manifest(summary, Path(json))
        write_table(table, Path(scores))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
