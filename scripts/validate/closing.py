"""Which share of the gap did training close, and what did it cost?

Reads scores, items, splits, ranks and perplexities of tuned models and those they came from, and the study's
Leak-Rates if it has any; writes all of it before and after.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.validate.closing import closing, read_perplexity, read_rates
from leakscope.validate.discrimination import RANK_COLUMNS
from leakscope.validate.paired import read_named, read_pairs, read_parts

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    inputs, params = snakemake.input, snakemake.params
    pairs = read_pairs(inputs.scores, params.scored, inputs.item_tables, params.forms, params.styles)
    table = closing(
        params.tuned,
        pairs,
        read_parts(inputs.splits, params.splits, pairs),
        read_named(inputs.ranks, params.scored, RANK_COLUMNS),
        read_perplexity(inputs.perplexity, params.perplexed),
        read_rates(inputs.match_rates, "match_rate", "n_units"),
        read_rates(inputs.leak_rates, "leak_rate", "n_pairs"),
        **params.settings,
    )
    write_csv(table, Path(snakemake.output.closing))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
