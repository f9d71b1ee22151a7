"""How good are dictionaries, how many things do their features stand for, and which were selected?

Reads quality, feature tables, probes and selections of all dictionaries; writes each as one table.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.features.description.feature_table import described, gathered, quality_table, selected_features
from leakscope.features.description.polysemanticity import polysemanticity
from leakscope.files.tables import read_csv, write_csv
from leakscope.jobs.job import job
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    names = list(params.dictionaries)
    dictionaries = described(params.dictionaries, names)
    qualities = {name: read_manifest(Path(path)) for name, path in zip(names, given.quality, strict=True)}
    features = {name: pd.read_parquet(path) for name, path in zip(names, given.tables, strict=True)}
    pairs = list(zip(params.contrasted["dictionary"], params.contrasted["contrast"], strict=True))
    probing, selection = (
        {pair: read_csv(path) for pair, path in zip(pairs, paths, strict=True)}
        for paths in (given.probing, given.selection)
    )
    write_csv(quality_table(qualities, dictionaries), Path(output.quality))
    write_csv(polysemanticity(features, dictionaries), Path(output.polysemanticity))
    write_csv(gathered(probing, dictionaries), Path(output.probing))
    write_csv(selected_features(selection, features, dictionaries), Path(output.selected))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
