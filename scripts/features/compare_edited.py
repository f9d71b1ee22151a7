"""What did edits do to the models as a whole?

Reads the study's match rates and Leak-Rates, the effects of its edits and its scores of bias tests, whichever it has;
writes each of them before and after, for every edited model.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.features.interventions.comparing import compare_edited
from leakscope.files.tables import read_csv, write_csv
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

OTHERS = ("effects", "bias")


def main(snakemake: "Snakemake") -> None:
    # What a study has not is an empty list.
    rates, others = snakemake.input.rates or (None, None), (snakemake.input[name] for name in OTHERS)
    files = [*rates, *(paths[0] if paths else None for paths in others)]
    tables = [None if path is None else read_csv(Path(path)) for path in files]
    write_csv(compare_edited(snakemake.params.edited, *tables), Path(snakemake.output.edited))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
