"""Which commit of a GGUF file on the hub is used?

Downloads the file into the hub cache; writes a record with the resolved commit.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.models.sources.hub import fetch_gguf
from leakscope.storage.manifests import write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    write_manifest(fetch_gguf(**snakemake.params.wanted), Path(snakemake.output.fetched))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
