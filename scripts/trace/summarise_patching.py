"""Which share of a concept's effect is restored at each site and layer, and between which pairs was it measured?

Reads the patched logits and numbers of pairs of all models and prompt sets; writes restored shares with intervals, and
pairs by template: possible, left out, drawn, and how far associates follow the concept.

Inputs: ``patched``, ``heads`` and ``pairs``, lists. Parameters: ``pairs`` (model and prompt set of each), ``level``.
Outputs: ``patching``, ``by_category``, ``heads`` and ``pairs``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.trace.layers.columns import PATCHED_COLUMNS
from leakscope.trace.layers.summary import pair_counts, restored_by_category, restored_shares

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, output = snakemake.params, snakemake.output
    inputs = snakemake.input
    patched, heads, counts = (
        [pd.read_parquet(path) for path in paths] for paths in (inputs.patched, inputs.heads, inputs.pairs)
    )
    write_csv(pair_counts(patched, counts, params.pairs, params.level), Path(output.pairs))
    everything = _joined(patched)
    write_csv(restored_shares(_joined(heads), params.level), Path(output.heads))
    write_csv(restored_shares(everything, params.level), Path(output.patching))
    write_csv(restored_by_category(everything, params.level), Path(output.by_category))


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    known = [table for table in tables if len(table)]  # columns of an empty table have no type
    return pd.concat(known, ignore_index=True) if known else pd.DataFrame(columns=PATCHED_COLUMNS)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
