"""Of two texts written after two concepts, do similarities say which is whose?

Reads prompts, generations and similarities of one prompt set; writes one row a unit and concept,
and one row a text, tables of each scorer.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables, write_table
from leakscope.jobs.job import job
from leakscope.leak.measures.match_rate import without_partners
from leakscope.leak.measures.matching import match_texts

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

logger = logging.getLogger(__name__)


def main(snakemake: "Snakemake") -> None:
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    prompts, generations = pd.read_parquet(given.prompts), read_tables(given.generations)
    for similarity, path in zip(given.similarity, output.units, strict=True):
        scores, scorer = pd.read_parquet(similarity), Path(similarity).stem
        units, texts = match_texts(prompts, generations, scores, scorer, params.decimals, params.closings)
        write_table(units, Path(path))
        write_table(texts, Path(path).with_suffix(".texts.parquet"))
    for warning in without_partners(units, prompts):  # the same by every scorer
        logger.warning("%s", warning)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
