"""How far does a concept make each associate likelier, and at which layer does that come up?

Reads prompts, slot candidates and a model's manifest; writes exact log-probabilities of associates (from the
store, where the step leak computed them), and the leak as the logit lens reads it at every layer.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.trace.layers.shifts import shifts_by_layer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    model, name = open_model(read_manifest(Path(inputs.manifest)), params.loading), snakemake.wildcards.model
    prompts, candidates = (pd.read_parquet(path) for path in (inputs.prompts, inputs.candidates))
    prompting = Prompting(params.settings, **params.chat, store=Path(params.store))
    scores = score_prompts(model, prompts, candidates, name, prompting)
    shifts = shifts_by_layer(model, prompts, candidates, name, prompting)
    write_manifest(scores.summary, Path(output.summary))
    write_table(scores.table, Path(output.scores))
    write_table(shifts, Path(output.lens))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
