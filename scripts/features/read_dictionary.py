"""Which dictionary lies in a folder of SAELens' format?

Reads it whole, so that what cannot be used is said at once; writes its manifest.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.models.editing.dictionary_files import describe_dictionary
from leakscope.storage.manifests import write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    entry = snakemake.params.entry
    manifest = describe_dictionary(
        Path(entry["path"]), source="local", model=entry["model"], layer=entry["layer"], centre=entry["centre"]
    )
    write_manifest(manifest, Path(snakemake.output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
