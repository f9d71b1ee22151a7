"""In which layer do generator and validator know the answer, and in which do they part?

Reads log-odds by layer and items of all models and tasks; writes a summary of each layer, and the layers in question.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.validate.layer_summary import layer_summary, parting

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    inputs, output = snakemake.input, snakemake.output
    summary = layer_summary(inputs.layers, snakemake.params.layered, inputs.item_tables)
    write_csv(summary, Path(output.layers))
    write_csv(parting(summary), Path(output.parting))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
