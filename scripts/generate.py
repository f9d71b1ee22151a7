"""What does a model write after each prompt?

Reads prompts and a model's manifest; writes every sample's text, and how many there are.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.completion import complete_prompts
from leakscope.job import job
from leakscope.manifests import read_manifest, write_manifest
from leakscope.models import load_model
from leakscope.tables import write_csv, write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    model = load_model(read_manifest(Path(snakemake.input.manifest)), snakemake.params.loading)
    prompts = pd.read_parquet(snakemake.input.prompts)
    texts = complete_prompts(
        model, prompts, snakemake.wildcards.model, snakemake.params.settings, **snakemake.params.chat
    )
    write_manifest({"total": len(texts), "computed": len(texts), "reused": 0}, Path(snakemake.output.summary))
    write_csv(texts, Path(snakemake.output.table))
    write_table(texts, Path(snakemake.output.texts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
