"""Which commit of a hub encoder does a scorer use?

Downloads a snapshot into the hub cache; writes a manifest with the resolved commit.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.models.sources.hub import fetch_folder
from leakscope.storage.manifests import write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    snapshot = snakemake.params.snapshot
    commit = fetch_folder(snapshot["id"], snapshot["revision"]).name
    write_manifest({**snapshot, "commit": commit}, Path(snakemake.output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
