"""What does each feature of a dictionary fire on, and what does it promote?

Reads a dictionary's manifest and quality, the table of its features and their contexts; writes one self-contained page.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.features.description.page import read_contexts, write_feature_page
from leakscope.jobs.job import job
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params = snakemake.params
    write_feature_page(
        Path(snakemake.output.page),
        table=pd.read_parquet(snakemake.input.table),
        promoted=pd.read_parquet(snakemake.input.promoted),
        contexts=read_contexts(Path(snakemake.input.contexts)),
        manifest=read_manifest(Path(snakemake.input.manifest)),
        quality=read_manifest(Path(snakemake.input.quality)),
        study=params.study,
        dictionary=params.dictionary,
        pages=params.pages,
        limit=params.page_features,
    )


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
