"""How probable is each candidate of a slot after each prompt?

Reads prompts, slot candidates and a model's manifest; writes exact log-probabilities and each candidate's tokens.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.completion import score_prompts
from leakscope.job import job
from leakscope.manifests import read_manifest
from leakscope.models import load_model
from leakscope.tables import write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    model = load_model(read_manifest(Path(snakemake.input.manifest)), snakemake.params.loading)
    scores = score_prompts(
        model,
        pd.read_parquet(snakemake.input.prompts),
        pd.read_parquet(snakemake.input.candidates),
        snakemake.wildcards.model,
        snakemake.params.settings,
        **snakemake.params.chat,
    )
    write_table(scores, Path(snakemake.output.scores))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
