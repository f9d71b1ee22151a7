"""Where does a corpus that someone else has indexed write a concept near its associate?

Reads the terms of both and the pairs that belong together; asks an infini-gram server for pieces of documents that
have a pair, keeps its answers in the store; writes a few contexts of each pair, for every model that is linked to it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.counting.infini_gram import MAX_DOCUMENTS, Client, excerpts
from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.trace.contexts import associated_pairs, contexts_in_excerpts, read_named_terms

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    files, params, source = snakemake.input, snakemake.params, snakemake.params.source
    concepts, associates = (read_named_terms(Path(files[side])) for side in ("concepts", "associates"))
    pairs = associated_pairs(pd.read_parquet(files.candidates), concepts, associates)
    client = Client(
        source["index"],
        url=source["url"],
        store=Path(params.store),
        requests_per_second=params.requests_per_second,
        max_clause_freq=source["max_clause_freq"],
    )
    terms = [(concepts[concept], associates[associate]) for concept, associate in pairs]
    found = dict(zip(pairs, excerpts(terms, params.window, client, min(params.contexts, MAX_DOCUMENTS)), strict=True))
    table = contexts_in_excerpts(found, concepts, associates, window=params.window, most=params.contexts)
    of_models = [table.assign(model=model, prompt_set=snakemake.wildcards.templated) for model in params.models]
    write_table(pd.concat(of_models, ignore_index=True), Path(snakemake.output.contexts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
