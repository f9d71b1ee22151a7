"""Which group does a model rank first, and how far does that hang on the wording?

Reads all scores; writes first and last places, the variation across templates, and differences of log-probabilities.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables, write_csv
from leakscope.ground.agreement.rankings import first_and_last, logprob_differences, rank_spread, template_variation
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    scores, output, settings = read_tables(snakemake.input.scores), snakemake.output, snakemake.params.settings
    write_csv(template_variation(scores, **settings), Path(output.variation))
    write_csv(rank_spread(scores, settings["score"]), Path(output.spread))
    write_csv(logprob_differences(scores, **settings), Path(output.differences))
    write_csv(first_and_last(scores, settings["score"]), Path(output.places))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
