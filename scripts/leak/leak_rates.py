"""How much does each model leak, and how sure is that?

Reads all comparisons of a study; writes the tables of Leak-Rates.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job
from leakscope.leak.measures import leak_rate
from leakscope.leak.measures.echo import echo_warnings
from leakscope.leak.measures.shared_seeds import shared_seed_warnings

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

logger = logging.getLogger(__name__)


def main(snakemake: "Snakemake") -> None:
    pairs = read_tables(snakemake.input.pairs)
    for line in (*echo_warnings(pairs), *shared_seed_warnings(pairs)):
        logger.warning("%s", line)
    level, output = snakemake.params.level, snakemake.output
    write_csv(leak_rate.leak_rates_by_control(pairs, level), Path(output.by_control))
    write_csv(leak_rate.specific_leakage(pairs, level), Path(output.specific))
    write_csv(leak_rate.leak_rates_by_concept(pairs), Path(output.by_concept))
    write_csv(leak_rate.leak_rates_by_template(pairs), Path(output.by_template))
    write_csv(leak_rate.estimators(pairs, level), Path(output.estimators))
    write_csv(leak_rate.leak_rates(pairs, level), Path(output.leak_rates))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
