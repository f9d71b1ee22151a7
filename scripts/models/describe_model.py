"""Which weights does a local model folder hold?

Reads the folder and checks what it holds; writes a manifest with the hash of the weights.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.models.checking import check_checkpoint
from leakscope.storage.manifests import describe_folder, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    folder = Path(snakemake.params.path)
    manifest = describe_folder(folder, "local")
    check_checkpoint(folder)
    write_manifest(manifest, Path(snakemake.output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
