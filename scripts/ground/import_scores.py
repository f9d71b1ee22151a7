"""How probable does a model hold each sentence, as someone else has computed?

Reads JSON of scores by subject, group and template; writes those of the first templates under the study's names.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_table
from leakscope.ground.imported import import_scores
from leakscope.ground.naming import axis_naming
from leakscope.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    axis, wildcards = snakemake.params.axis, snakemake.wildcards
    naming = axis_naming(axis["naming"])
    tables = [
        import_scores(Path(path), wildcards.imported, wildcards.axis, language, naming, axis["templates_used"])
        for language, path in zip(axis["languages"], snakemake.input.scores, strict=True)
    ]
    write_table(pd.concat(tables, ignore_index=True), Path(snakemake.output.scores))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
