"""Which weights does a GGUF file hold?

Reads the file, or the record of the one that was fetched from the hub; writes an ordinary model folder in float32 and
its manifest.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.models.checking import check_checkpoint
from leakscope.models.sources.gguf import convert_gguf
from leakscope.models.sources.hub import cached_gguf
from leakscope.storage.manifests import describe_folder, read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, origin = Path(snakemake.input.files), dict(snakemake.params.source)
    if origin["source"] == "hub":
        fetched = read_manifest(given)
        given, origin["commit"] = cached_gguf(fetched), fetched["commit"]
    manifest = Path(snakemake.output.manifest)
    convert_gguf(given, manifest.parent)
    check_checkpoint(manifest.parent, snakemake.wildcards.gguf_model)
    write_manifest({**describe_folder(manifest.parent, origin["source"]), "converted_from": origin}, manifest)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
