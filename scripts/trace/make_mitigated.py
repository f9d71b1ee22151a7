"""Which change makes a model leak least at its cost?

Reads what was chosen of a mitigation; writes the manifest of the model with it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.trace.removal.mitigated_models import chosen_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    where = f"models: {snakemake.wildcards.mitigated_model}"
    chosen = read_manifest(Path(snakemake.input.chosen))
    write_manifest(chosen_manifest(chosen, snakemake.params.cost, where), Path(snakemake.output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
