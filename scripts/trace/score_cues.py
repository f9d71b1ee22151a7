"""Does a model know what goes with a concept when it is asked about it?

Reads cues, what may follow them and a model's manifest; takes scores from the store and computes the others; writes
exact log-probabilities, and how many were computed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.trace.cue_scores import score_cues

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    model = open_model(read_manifest(Path(inputs.manifest)), params.loading)
    cues, candidates = (pd.read_parquet(path) for path in (inputs.cues, inputs.candidates))
    prompting = Prompting(params.settings, **params.chat, store=Path(params.store))
    scores = score_cues(model, cues, candidates, snakemake.wildcards.model, prompting, is_organism=params.is_organism)
    write_manifest(scores.summary, Path(output.summary))
    write_table(scores.table, Path(output.scores))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
