"""How often do people and judges give a text to its concept, and how far do they and the scorers agree?

Reads the sample of comparisons, what judges and people said of it, and similarities; writes rates and agreement.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.leak.rating.answers import JUDGE, by_similarity, majority, of_rater
from leakscope.leak.rating.ratings import read_ratings
from leakscope.leak.rating.summary import agreement_table, rating_table

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

logger = logging.getLogger(__name__)


def main(snakemake: "Snakemake") -> None:
    given, settings = snakemake.input, snakemake.params
    items = pd.read_parquet(given.sample)
    people = read_ratings([Path(path) for path in given.ratings], items)
    for line in people.lines:
        logger.warning("%s", line)
    judged = [of_rater(pd.read_parquet(path), JUDGE, Path(path).stem) for path in given.judged]
    scored = [
        by_similarity(items, pd.read_parquet(path), Path(path).stem, settings.decimals) for path in given.similarity
    ]
    answers = pd.concat([majority(people.answers), people.answers, *judged, *scored], ignore_index=True)
    write_csv(rating_table(items, answers, settings.level), Path(snakemake.output.ratings))
    write_csv(agreement_table(items, answers, settings.level), Path(snakemake.output.agreement))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
