"""What does a model write with features edited, and what without?

Reads the manifests of a dictionary and of its model, and how the features fire; takes texts from the store and computes
the others; writes both texts of each sample, side by side.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.features.interventions.steering import Steered, steer
from leakscope.files.tables import write_csv
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.editing.edited_models import explicit_edit
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    given, params, name = snakemake.input, snakemake.params, snakemake.wildcards.steering
    base, dictionary = read_manifest(Path(given.model_manifest)), read_manifest(Path(given.manifest))
    firing = pd.read_parquet(given.firing)
    edit = explicit_edit(params.settings, dictionary, firing, f"features: steering: {name}")
    texts = steer(
        open_model(base, params.loading),
        Steered(base, edit, dictionary),
        params.settings,
        name=name,
        chat_template_kwargs=params.chat_template_kwargs,
        store=Path(params.store),
    )
    write_manifest(texts.summary, Path(snakemake.output.summary))
    write_csv(texts.table, Path(snakemake.output.texts))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
