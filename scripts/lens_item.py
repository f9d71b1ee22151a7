"""What would a model say at each layer on its way through the prompts of one item?

Reads a task's items and prompt forms and a model's manifest; writes the logit lens of the last positions of generator
and validator prompt, in the task's main form.
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
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.validate.scoring.lens_item import lens_of_item
from leakscope.validate.tasks.asking import read_asking

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, name = snakemake.params, snakemake.wildcards.model
    asking = read_asking(
        Path(snakemake.input.forms),
        params.task["styles"],
        name,
        chat=params.chat,
        seed=params.seed,
        batch_size=params.batch_size,
        store=Path(params.store),
    )
    model = open_model(read_manifest(Path(snakemake.input.manifest)), params.loading)
    items = pd.read_parquet(snakemake.input.item_table)
    found = lens_of_item(model, items, name, asking, params.task["lens_item"])
    write_manifest(found.summary, Path(snakemake.output.summary))
    write_table(found.table, Path(snakemake.output.lens))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
