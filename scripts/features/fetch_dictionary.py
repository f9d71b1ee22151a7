"""Which commit of a dictionary of the hub is used?

Downloads its folder into the hub cache; writes its manifest with the resolved commit and the hash of its files.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.models.editing.dictionary_files import fetch_dictionary
from leakscope.storage.manifests import write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    write_manifest(fetch_dictionary(**snakemake.params.entry), Path(snakemake.output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
