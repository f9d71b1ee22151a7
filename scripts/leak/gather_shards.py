"""What did all shards of a model's prompt set write, and how probable did they find each candidate?

Reads what the shards of one prompt set wrote; writes it in one piece, as a job without shards does.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_csv, write_table
from leakscope.jobs.job import job
from leakscope.jobs.sharding import gather_rows, gather_summaries
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, output = snakemake.input, snakemake.output
    prompts = pd.read_parquet(given.prompts)
    slotted = prompts.loc[prompts["slot"].notna(), "prompt_id"]
    texts = gather_rows([pd.read_parquet(path) for path in given.texts], prompts["prompt_id"])
    scores = gather_rows([pd.read_parquet(path) for path in given.scores], slotted)
    for summaries, path in ((given.summaries, output.summary), (given.scores_summaries, output.scores_summary)):
        write_manifest(gather_summaries([read_manifest(Path(summary)) for summary in summaries]), Path(path))
    write_csv(texts, Path(output.table))
    write_table(texts, Path(output.texts))
    write_table(scores, Path(output.scores))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
