"""Which features does a residual stream have, by a dictionary that is trained here?

Reads shards of activations; writes the dictionary in SAELens' format, its manifest and the record of its training.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.features.dictionaries.training import TrainingSettings, train_dictionary
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.editing.dictionary_files import describe_dictionary, save_dictionary
from leakscope.storage.manifests import write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, entry, output = snakemake.params, snakemake.params.entry, snakemake.output
    trained = train_dictionary(
        [Path(path) for path in snakemake.input.activations],
        TrainingSettings(**params.settings),
        entry["seed"],
        layer=entry["layer"],
        metadata={
            "hook_name": f"blocks.{entry['layer']}.hook_resid_pre",
            "model_name": entry["model"],
            "dataset_path": entry["corpus"],
            "prepend_bos": True,
        },
        name=snakemake.wildcards.trained_dictionary,
    )
    folder = Path(output.weights).parent
    save_dictionary(trained.dictionary, folder, firing_rates=trained.reconstruction.firing_rates)
    write_manifest(trained.record, Path(output.training))
    write_manifest(describe_dictionary(folder, source="trained", model=entry["model"]), Path(output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
