"""How well do few features of a dictionary say which side of a contrast a text is of?

Reads a dictionary, and what its model has at the texts of a contrast; writes accuracies beside those of the residual
and of chance, and how far a single feature stands for the contrast alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.features.contrasts.probing import probe_concept
from leakscope.features.contrasts.selection import open_contrasted
from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.models.editing.dictionary_files import open_dictionary
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    given = snakemake.input
    dictionary = open_dictionary(read_manifest(Path(given.manifest)))
    contrasted = open_contrasted(dictionary, Path(given.activations), Path(given.prompts))
    write_csv(probe_concept(contrasted), Path(snakemake.output.probing))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
