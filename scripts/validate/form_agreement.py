"""Do the paraphrases of a prompt agree on the items?

Reads scores of all models and tasks; writes the correlation of each two prompt forms of a style.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.validate.form_agreement import form_agreement

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    agreement = form_agreement(snakemake.input.scores, snakemake.params.scored)
    write_csv(agreement, Path(snakemake.output.agreement))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
