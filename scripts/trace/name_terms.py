"""Which concepts and associates of a prompt set can be counted in a corpus?

Reads prompts and slot candidates; writes two lexicons.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.trace.terms import counted_terms

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    prompts, candidates = (pd.read_parquet(path) for path in (snakemake.input.prompts, snakemake.input.candidates))
    terms = counted_terms(prompts, candidates)
    write_csv(terms.concepts, Path(snakemake.output.concepts))
    write_csv(terms.associates, Path(snakemake.output.associates))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
