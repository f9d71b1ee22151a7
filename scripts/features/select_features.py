"""Which features of a dictionary carry a contrast?

Reads a dictionary, its quality, and what its model has at the texts of a contrast; writes the features that each method
selects. A dictionary below the bar selects none, unless it is the control of a model that has learnt nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.features.contrasts.selection import no_features, open_contrasted, select_features
from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.models.editing.dictionary_files import open_dictionary
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    given, params = snakemake.input, snakemake.params
    selection = no_features()
    if read_manifest(Path(given.quality))["passes"] or params.is_control:
        dictionary = open_dictionary(read_manifest(Path(given.manifest)))
        contrasted = open_contrasted(dictionary, Path(given.activations), Path(given.prompts))
        selection = select_features(contrasted, params.methods)
    write_csv(selection, Path(snakemake.output.selection))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
