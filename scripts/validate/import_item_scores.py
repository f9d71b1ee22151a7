"""How probable does a model hold each candidate, and does it affirm it, as someone else has computed?

Reads a file of items with both scores; writes the scores as those of a single form, and the items that they bring.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.storage.manifests import write_manifest
from leakscope.validate.scoring.imported_scores import import_scores, imported_items, imported_table

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    output = snakemake.output
    scores = import_scores(Path(snakemake.input.scores))
    write_manifest({"items": len(scores), "positive": int(scores["positive"].sum())}, Path(output.summary))
    write_table(imported_items(scores), Path(output.item_table))
    write_table(imported_table(scores), Path(output.scores))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
