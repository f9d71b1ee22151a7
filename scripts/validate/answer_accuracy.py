"""Do generator and validator know the right answers, and does the validator affirm what the generator says?

Reads scores, items, splits, ranks and completions of all models and tasks; writes accuracies with intervals.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.validate.discrimination import COMPLETION_COLUMNS, RANK_COLUMNS, answer_accuracy
from leakscope.validate.paired import read_named, read_pairs, read_parts

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    inputs, params = snakemake.input, snakemake.params
    pairs = read_pairs(inputs.scores, params.scored, inputs.item_tables, params.forms, params.styles)
    parts = read_parts(inputs.splits, params.splits, pairs)
    ranks = read_named(inputs.ranks, params.asked, RANK_COLUMNS)
    completions = read_named(inputs.completions, params.asked, COMPLETION_COLUMNS)
    accuracy = answer_accuracy(pairs, parts, ranks, completions, params.tuned_on, **params.settings)
    write_csv(accuracy, Path(snakemake.output.accuracy))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
