"""Which commit of a hub model is used?

Downloads a snapshot into the hub cache and checks what it holds; writes a manifest with the resolved commit and the
hash of the weights.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.models.checking import check_checkpoint
from leakscope.models.sources.hub import cached_folder, fetch_snapshot
from leakscope.storage.manifests import write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    wanted = snakemake.params.snapshot
    manifest = fetch_snapshot(wanted["id"], wanted["revision"], trust_remote_code=wanted["trust_remote_code"])
    check_checkpoint(cached_folder(manifest["id"], manifest["commit"]), manifest["id"])
    write_manifest(manifest, Path(snakemake.output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
