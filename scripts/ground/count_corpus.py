"""How often do the terms of two lexicons stand near each other in a file of texts?

Reads one file of a corpus and all lexicons that are counted in it; writes counts by distance, of every pair and term.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.counting.cooccurrence import count_documents
from leakscope.counting.terms import terms_of
from leakscope.files.corpora import read_corpus
from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.storage.manifests import write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    path, output = Path(snakemake.input.corpus), snakemake.output
    texts = read_corpus([path], snakemake.params.text, name=path.name)
    counts = count_documents(texts, terms_of(snakemake.params.axes))
    write_table(counts.pairs, Path(output.pairs))
    write_table(counts.terms, Path(output.terms))
    write_manifest(counts.totals, Path(output.totals))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
