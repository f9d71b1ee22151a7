"""Are the judges fit to say how far models leak?

Reads items, judges' answers and the known rates of organisms; writes how each judge answers, how near it is to these,
and whether it is fit.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_csv, write_csv
from leakscope.jobs.job import job
from leakscope.leak.rating.judge_truth import KNOWN_COLUMNS
from leakscope.leak.rating.judge_verdicts import judge_verdicts

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, params = snakemake.input, snakemake.params
    # A study may have no organism whose rates are known.
    known = read_csv(Path(given.known)) if given.known else pd.DataFrame(columns=KNOWN_COLUMNS)
    judged = dict(zip(params.judges, map(pd.read_parquet, given.judged), strict=True))
    table = judge_verdicts(judged, pd.read_parquet(given.sampled), known, params.judges, params.level)
    write_csv(table, Path(snakemake.output.verdicts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
