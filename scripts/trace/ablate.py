"""Which features of a dictionary carry the leak of each association?

Reads the prompts of a set, its candidates, and the manifests of a dictionary and its model; ablates one feature at a
time, and writes how far the concept makes each associate likelier with it and without.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.editing.dictionary_files import open_dictionary
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.storage.manifests import read_manifest
from leakscope.trace.layers.ablation import ablate_features

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, inputs = snakemake.params, snakemake.input
    ablated = ablate_features(
        open_model(read_manifest(Path(inputs.model_manifest)), params.loading),
        pd.read_parquet(inputs.prompts),
        pd.read_parquet(inputs.candidates),
        params.model,
        Prompting(params.settings, **params.chat),
        dictionary=open_dictionary(read_manifest(Path(inputs.manifest))),
        dictionary_name=snakemake.wildcards.dictionary,
        n_features=params.n_features,
    )
    write_table(ablated, Path(snakemake.output.ablated))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
