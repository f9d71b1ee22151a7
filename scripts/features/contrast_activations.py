"""What does a model have where a contrast is decided, and how does the gap depend on it?

Reads the texts of a contrast, or a prompt set and its candidates, and a model's manifest; writes residuals of all
tokens and gradients at the last ones, and the texts with the probabilities of both sides.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.features.contrasts.contrast_activations import record_contrast, write_contrast
from leakscope.features.contrasts.items import TEMPLATES, prompt_set_texts, template_texts
from leakscope.features.contrasts.words import encode_texts
from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, given, wildcards = snakemake.params, snakemake.input, snakemake.wildcards
    model = open_model(read_manifest(Path(given.manifest)), params.loading)
    prompting = None
    if params.contrast["source"] == TEMPLATES:
        texts = template_texts(Path(given.files[0]), params.seed)
    else:
        prompts, candidates = (pd.read_parquet(path) for path in given.files)
        texts = prompt_set_texts(prompts, candidates, params.contrast, params.seed)
        prompting = Prompting(params.prompting, **params.chat)
    texts, encoded = encode_texts(model, texts, prompting)
    recorded = record_contrast(
        model.model, texts, encoded, int(wildcards.layer), batch_size=params.batch_size, name=wildcards.contrast
    )
    write_contrast(recorded.activations, Path(snakemake.output.activations))
    write_table(recorded.prompts, Path(snakemake.output.prompts))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
