"""Which sentence of each pair of a bias test does a model find likelier?

Reads the test's files and a model's manifest; takes log-probabilities from the store and computes the others.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.features.bias.pairs import score_pairs
from leakscope.features.bias.tables import left_out_warning, read_pairs
from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

logger = logging.getLogger(__name__)


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    given, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    pairs = read_pairs(params.format, given.table)
    if warning := left_out_warning(pairs, wildcards.bias_test):
        logger.warning("%s", warning)
    model = open_model(read_manifest(Path(given.manifest)), params.loading)
    scored = score_pairs(
        model,
        pairs,
        wildcards.model,
        wildcards.bias_test,
        batch_size=params.batch_size,
        store=Path(params.store),
    )
    left_out = [pair.pair_id for pair in pairs if pair.left_out]
    write_manifest({**scored.summary, "left_out": left_out}, Path(snakemake.output.summary))
    write_table(scored.table, Path(snakemake.output.scores))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
