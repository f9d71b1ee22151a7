"""Is the gap that is measured the one that was planted?

Reads the gaps of items without an edit, and the organisms' grammar; writes both side by side.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.features.interventions.planted import planted_associations
from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.organisms.grammar_files import part_folders
from leakscope.organisms.pronoun_grammar import load_pronoun_grammar

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, folders = snakemake.params, part_folders(snakemake.input.grammar)
    pairs = list(zip(params.planted["dictionary"], params.planted["contrast"], strict=True))
    by_item = {pair: pd.read_parquet(path) for pair, path in zip(pairs, snakemake.input.by_item, strict=True)}
    grammars = {
        model: load_pronoun_grammar(folders[grammar["parts"][0]], grammar["strength"])
        for model, grammar in params.grammars.items()
    }
    write_csv(planted_associations(by_item, params.models, grammars), Path(snakemake.output.truth))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
