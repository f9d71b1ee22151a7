"""How far does each model's validator follow its generator?

Reads scores, items and splits of all models and tasks; writes the correlations of their log-odds with intervals,
and the log-odds themselves, of each task's main form.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv, write_table
from leakscope.jobs.job import job
from leakscope.validate.gap import correlations
from leakscope.validate.paired import main_form, read_pairs, read_parts

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    pairs = read_pairs(inputs.scores, params.scored, inputs.item_tables, params.forms, params.styles)
    parts = read_parts(inputs.splits, params.splits, pairs)
    write_csv(correlations(pairs, parts, params.tuned_on, **params.settings), Path(output.correlations))
    write_table(main_form(pairs), Path(output.paired))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
