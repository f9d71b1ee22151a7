"""How often do subjects and groups stand near each other in a whole corpus?

Reads the counts of its files; writes the counts of one axis by window, of each term, and how much text there was.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.counting.cooccurrence import Counts, merge
from leakscope.counting.terms import terms_of
from leakscope.files.tables import write_csv, write_table
from leakscope.ground.counts import axis_counts, axis_terms, warn_of_ambiguous
from leakscope.ground.naming import axis_naming
from leakscope.jobs.job import job
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    inputs, output, params, axis = snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards.corpus_axis
    warn_of_ambiguous(params.axes[axis])
    files = zip(inputs.pairs, inputs.terms, inputs.totals, strict=True)
    counts = merge(
        Counts(
            pd.read_parquet(pairs, filters=[("axis", "==", axis)]),
            pd.read_parquet(terms),
            read_manifest(Path(totals)),
        )
        for pairs, terms, totals in files
    )
    table = axis_counts(counts, axis, terms_of(params.axes), axis_naming(params.naming), params.windows)
    write_csv(axis_terms(counts, params.axes[axis]), Path(output.terms))
    write_manifest(counts.totals, Path(output.totals))
    write_csv(table, Path(output.table))
    write_table(table, Path(output.counts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
