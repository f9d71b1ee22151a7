"""How often do subjects and groups stand near each other in a corpus that someone else has indexed?

Reads lexicons; asks an infini-gram server, keeps its answers in the store; writes counts by window and of each term.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.counting.infini_gram import Client
from leakscope.files.tables import write_csv, write_table
from leakscope.ground.counts import warn_of_ambiguous
from leakscope.ground.indexed import count_by_index
from leakscope.ground.naming import axis_naming
from leakscope.jobs.job import job
from leakscope.storage.manifests import write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, output, axis = snakemake.params, snakemake.output, snakemake.wildcards.indexed_axis
    warn_of_ambiguous(params.naming["lexicons"])
    client = Client(
        params.source["index"],
        url=params.source["url"],
        store=Path(params.store),
        requests_per_second=params.requests_per_second,
        max_clause_freq=params.source["max_clause_freq"],
    )
    indexed = count_by_index(
        client,
        axis,
        params.naming["lexicons"],
        axis_naming(params.naming),
        params.windows,
        terms_per_clause=params.source["terms_per_clause"],
        level=params.level,
    )
    write_csv(indexed.terms, Path(output.terms))
    write_manifest(indexed.totals, Path(output.totals))
    write_csv(indexed.counts, Path(output.table))
    write_table(indexed.counts, Path(output.counts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
