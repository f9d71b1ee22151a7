"""At which layer does an association come up in a model?

Reads the prompts of a set, its candidates and a model's manifest; writes the logit leak of each associate after each
group of concepts, as the logit lens reads it at every layer.

Inputs: ``manifest``, ``prompts``, ``candidates``. Parameters: ``loading``, ``settings`` (of the generation), ``chat``.
Output: ``lens``. Wildcards: ``model``, ``prompt_set``.
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
from leakscope.models.prompting import Prompting
from leakscope.storage.manifests import read_manifest
from leakscope.trace.layers.shifts import shifts_by_layer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, inputs = snakemake.params, snakemake.input
    shifts = shifts_by_layer(
        open_model(read_manifest(Path(inputs.manifest)), params.loading),
        pd.read_parquet(inputs.prompts),
        pd.read_parquet(inputs.candidates),
        snakemake.wildcards.model,
        Prompting(params.settings, **params.chat),
    )
    write_table(shifts, Path(snakemake.output.lens))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
