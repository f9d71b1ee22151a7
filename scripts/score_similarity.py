"""How similar is each text to its concept?

Reads the distinct pairs of concept and text; writes their similarity by one scorer.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from leakscope.tables import write_table

from leakscope.job import job
from leakscope.similarity import score_pairs

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    pairs = pd.read_parquet(snakemake.input.pairs)
    pairs["similarity"] = score_pairs(pairs["concept"].tolist(), pairs["text"].tolist(), snakemake.params.scorer)
    write_table(pairs, Path(snakemake.output.similarity))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
