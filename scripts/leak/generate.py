"""What does a model write after each prompt, and how probable does it find each candidate?

Reads prompts, slot candidates and a model's manifest; takes texts and scores from the store and computes the others;
writes every sample's text, exact log-probabilities with each candidate's tokens, and how many of each were computed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.files.tables import write_csv, write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.jobs.progress import say
from leakscope.jobs.sharding import WHOLE, Shard
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.completion import complete_prompts
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.models.thinking.scoring import score_thoughts
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, output, wildcards = snakemake.params, snakemake.output, snakemake.wildcards
    model = open_model(read_manifest(Path(snakemake.input.manifest)), params.loading)
    prompts, candidates = (pd.read_parquet(path) for path in (snakemake.input.prompts, snakemake.input.candidates))
    prompting = Prompting(params.settings, **params.chat, store=Path(params.store))
    shard = Shard.parse(wildcards.get("shard", str(WHOLE)))
    texts = complete_prompts(model, prompts, wildcards.model, prompting, shard)
    score = score_prompts if prompting.thinking is None else score_thoughts
    scores = score(model, prompts, candidates, wildcards.model, prompting, shard)
    summary = texts.summary
    say(f"{wildcards.model}, {wildcards.prompt_set}: computed {summary['computed']:,} of {summary['total']:,} texts")
    write_manifest(summary, Path(output.summary))
    write_manifest(scores.summary, Path(output.scores_summary))
    write_csv(texts.table, Path(output.table))
    write_table(texts.table, Path(output.texts))
    write_table(scores.table, Path(output.scores))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
