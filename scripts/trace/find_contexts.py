"""Where does the corpus write a concept near its associate?

Reads a corpus once, the terms of both and the pairs that belong together; writes a few contexts of each pair.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.corpora import read_corpus
from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.trace.contexts import associated_pairs, find_contexts, read_named_terms

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    files, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    concepts, associates = (read_named_terms(Path(files[side])) for side in ("concepts", "associates"))
    pairs = associated_pairs(pd.read_parquet(files.candidates), concepts, associates)
    shards = [Path(path) for path in files.corpus]
    texts = read_corpus(shards, params.text, name=shards[0].name)
    found = find_contexts(texts, concepts, associates, pairs, window=params.window, most=params.contexts)
    write_table(found.assign(model=wildcards.model, prompt_set=wildcards.templated), Path(snakemake.output.contexts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
