"""May a dictionary be interpreted?

Reads its manifest, that of its model, held-out activations and the texts that they come from; writes what is lost where
the dictionary stands in for the residual stream, and whether that is little enough.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.features.dictionaries.quality import measure_quality
from leakscope.features.dictionaries.texts import HELD_OUT, TextSource, read_windows
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.jobs.sharding import Shard
from leakscope.models.editing.dictionary_files import open_dictionary
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, given = snakemake.params, snakemake.input
    model = open_model(read_manifest(Path(given.model_manifest)), params.loading)
    files = [given.corpus] if isinstance(given.corpus, str) else given.corpus
    source = TextSource([Path(file) for file in files], HELD_OUT, **params.source)
    shards = [Path(path) for path in given.activations]
    # The very tokens of the shards, each of which is named by its place among them.
    windows = [
        window
        for path in shards
        for window in read_windows(model, source, tokens=params.tokens, shard=Shard.parse(path.stem))
    ]
    quality = measure_quality(
        open_dictionary(read_manifest(Path(given.manifest))),
        shards,
        model.model,
        windows,
        params.bar,
        batch_size=params.batch_size,
        name=snakemake.wildcards.dictionary,
    )
    write_manifest(quality, Path(snakemake.output.quality))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
