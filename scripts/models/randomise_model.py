"""Which weights has a model that has learnt nothing?

Reads the manifest of the model whose architecture it has; writes its own, with the seed of its weights.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.models.randomised import describe
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    base = read_manifest(Path(snakemake.input.base))
    write_manifest(describe(base, snakemake.params.seed), Path(snakemake.output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
