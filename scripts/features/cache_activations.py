"""What does a model have before a block, token by token?

Reads texts and a model's manifest; writes the residuals of one shard.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.features.dictionaries.activations import record_activations, write_activations
from leakscope.features.dictionaries.texts import TextSource, read_windows
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.jobs.sharding import Shard
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, given, wildcards = snakemake.params, snakemake.input, snakemake.wildcards
    model = open_model(read_manifest(Path(given.manifest)), params.loading)
    # One file is given as text, several are given as a list.
    files = [given.corpus] if isinstance(given.corpus, str) else given.corpus
    source = TextSource([Path(file) for file in files], wildcards.part, **params.source)
    windows = read_windows(model, source, tokens=params.tokens, shard=Shard.parse(wildcards.shard))
    activations = record_activations(
        model.model,
        windows,
        int(wildcards.layer),
        batch_size=params.batch_size,
        name=f"{wildcards.model}, block {wildcards.layer}, {wildcards.part}",
    )
    write_activations(activations, Path(snakemake.output.activations))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
