"""Is the gap that is measured the one that was planted?

Reads the correlations, items and the organisms' grammar; writes the measured gap beside the true one.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_csv, write_csv
from leakscope.jobs.job import job
from leakscope.organisms.grammar_files import is_taxonomy, part_folders
from leakscope.organisms.taxonomy_grammar import load_taxonomy_grammar
from leakscope.validate.planted import planted_gaps

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, folders = snakemake.params, part_folders(snakemake.input.grammar)
    items = {path.stem: pd.read_parquet(path) for path in map(Path, snakemake.input.item_tables)}
    grammars = {
        model: load_taxonomy_grammar(
            next(filter(is_taxonomy, (folders[part] for part in law["parts"]))), law["strength"]
        )
        for model, law in params.grammars.items()
    }
    correlations = read_csv(snakemake.input.correlations)
    truth = planted_gaps(correlations, items, grammars)
    write_csv(truth, Path(snakemake.output.truth))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
