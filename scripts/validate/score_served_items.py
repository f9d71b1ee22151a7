"""Does a model behind a server affirm what it generates?

Reads a task's items and prompt forms; takes log-probabilities from the store and asks the server for the others; writes
how probable each candidate is, and whether the model affirms it, in every form that is no chat.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.storage.manifests import write_manifest
from leakscope.validate.scoring.served_scores import score_served_items
from leakscope.validate.tasks.asking import read_asking
from leakscope.web.taking_turns import open_scorer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, name, store = snakemake.params, snakemake.wildcards.served, Path(snakemake.params.store)
    asking = read_asking(
        Path(snakemake.input.forms),
        params.task["styles"],
        name,
        chat={"chat": False, "chat_template_kwargs": {}},
        seed=params.seed,
        batch_size=1,
        store=store,
    )
    with open_scorer(name, params.server, params.asking, store) as scorer:
        scores = score_served_items(scorer, pd.read_parquet(snakemake.input.item_table), asking)
    write_manifest(scores.summary, Path(snakemake.output.summary))
    write_table(scores.table, Path(snakemake.output.scores))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
