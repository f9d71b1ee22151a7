"""Which weights has an adapter, and the model that it is laid upon?

Reads the adapter's folder and the manifest of its base; writes a manifest with the hashes of both.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.storage.manifests import describe_adapter, read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    base = read_manifest(Path(snakemake.input.base))
    write_manifest(describe_adapter(Path(snakemake.params.path), base, "adapter"), Path(snakemake.output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
