"""Do dictionaries that differ in their seed alone find the same features?

Reads the dictionaries' manifests; writes cosines between their features, and what they are on the whole.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.features.dictionaries.seeds import compare_seeds
from leakscope.files.tables import write_csv, write_table
from leakscope.jobs.job import job
from leakscope.models.editing.dictionary_files import open_dictionary
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    entries: dict[str, dict[str, torch.Tensor]] = {}
    for name, path in zip(snakemake.params.dictionaries, snakemake.input.manifests, strict=True):
        # A seed's dictionary is called <entry>.s<seed>.
        decoder = open_dictionary(read_manifest(Path(path))).decoder
        entries.setdefault(name.rpartition(".s")[0], {})[name] = decoder
    agreement = compare_seeds(entries)
    write_csv(agreement.summary, Path(snakemake.output.agreement))
    write_table(agreement.cosines, Path(snakemake.output.cosines))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
