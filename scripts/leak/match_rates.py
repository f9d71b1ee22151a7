"""How often do similarities give a text to the concept it was written after, and how sure is that?

Reads the units of a study; writes the tables of match rates.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_tables, write_csv
from leakscope.jobs.job import job
from leakscope.languages.of_prompts import with_reading
from leakscope.leak.measures import match_rate
from leakscope.leak.measures.families import check_primary

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

logger = logging.getLogger(__name__)


def main(snakemake: "Snakemake") -> None:
    units = read_tables(snakemake.input.units)
    settings, output = snakemake.params, snakemake.output
    write_csv(match_rate.match_rates_by_concept(units), Path(output.by_concept))
    write_csv(match_rate.match_rates_by_template(units), Path(output.by_template))
    permutations = settings.permutations, settings.name_permutations
    rates = match_rate.match_rates(units, settings.level, *permutations, primary=settings.primary)
    check_primary(rates, settings.primary)
    write_csv(with_reading(rates, settings.reads), Path(output.match_rates))
    for line in match_rate.without_concept_interval(rates):
        logger.info("%s", line)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
