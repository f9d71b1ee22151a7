"""How much of its corpus did each organism learn?

Reads the training records; writes held-out loss beside the exact entropy of the corpus.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.leak.known.truth import organisms_table
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    records = [read_manifest(Path(path)) for path in snakemake.input.training]
    write_csv(organisms_table(snakemake.params.organisms, records), Path(snakemake.output.table))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
