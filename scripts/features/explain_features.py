"""What do the features of a dictionary stand for?

Reads where they fire, by token and in contexts; makes labels of tokens, or asks a language model behind a server and
keeps its answers in the store; writes explanations with their scores.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.features.description.detection import PROMPTS
from leakscope.features.description.explaining import count_statuses, explain_by_endpoint, explain_locally
from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.web.endpoint import Endpoint

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, params, name = snakemake.input, snakemake.params, snakemake.wildcards.explainer
    settings, firing = params.explainer, pd.read_parquet(given.firing)
    # Below the bar nothing is interpreted; a control is there to be compared with what is.
    interpretable = params.is_control or read_manifest(Path(given.quality))["passes"]
    asked = {"total": 0, "computed": 0, "reused": 0, "store": None}
    if settings["kind"] == "local":
        counts, tokens = pd.read_parquet(given.token_counts), pd.read_parquet(given.tokens)
        table = explain_locally(firing, counts, tokens, name, n_tokens=settings["tokens"], interpretable=interpretable)
    else:
        endpoint = Endpoint(
            settings["base_url"],
            settings["model"],
            key_variable=settings["key_variable"],
            temperature=settings["temperature"],
            max_tokens=settings["max_tokens"],
            seconds=settings["timeout"],
            attempts=settings["attempts"],
            concurrency=settings["concurrency"],
            prompts=PROMPTS,
            store=Path(params.store),
        )
        table = explain_by_endpoint(
            firing,
            pd.read_parquet(given.contexts),
            endpoint,
            name,
            n_features=settings["features"],
            interpretable=interpretable,
            seed=params.seed,
        )
        asked = endpoint.summary()
    write_manifest({**asked, "statuses": count_statuses(table)}, Path(snakemake.output.summary))
    write_table(table, Path(snakemake.output.explanations))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
