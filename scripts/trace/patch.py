"""Where in a model is a concept read, and when has it moved to the last token?

Reads the prompts of a set, its candidates and a model's manifest; puts residuals of runs with one concept into runs
with another, at each site and layer; writes the logits of associates before and after, and which pairs there were.

Inputs: ``manifest``, ``prompts``, ``candidates``. Parameters: ``loading``, ``settings`` (of the generation), ``chat``,
``n_pairs``, ``sites``, ``heads``. Outputs: ``patched``, ``heads``, and ``pairs``, the numbers of pairs by template.
Wildcards: ``model``, ``prompt_set``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.storage.manifests import read_manifest
from leakscope.trace.layers.heads import patch_prompt_heads
from leakscope.trace.layers.patching import patch_prompts

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, inputs = snakemake.params, snakemake.input
    asked = (
        open_model(read_manifest(Path(inputs.manifest)), params.loading),
        pd.read_parquet(inputs.prompts),
        pd.read_parquet(inputs.candidates),
        snakemake.wildcards.model,
        Prompting(params.settings, **params.chat),
    )
    patched = patch_prompts(*asked, n_pairs=params.n_pairs, sites=params.sites)
    heads = patch_prompt_heads(*asked, n_pairs=params.n_pairs, blocks=params.heads)
    write_table(patched.table, Path(snakemake.output.patched))
    write_table(heads, Path(snakemake.output.heads))
    write_table(patched.counts, Path(snakemake.output.pairs))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
