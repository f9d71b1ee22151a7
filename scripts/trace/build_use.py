"""What is asked that needs the concept, to see whether a mitigation leaves its use?

Reads the prompts and candidates of a set and its file of use; writes prompts of use and what may follow them.

Inputs: ``prompts``, ``candidates``, ``use``, the file. Parameter: ``seed``, of the halves of concept groups, as for
``mitigate``. Outputs: ``use``, ``candidates``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.trace.removal.use import build_use

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    inputs, output = snakemake.input, snakemake.output
    prompts, candidates = (pd.read_parquet(path) for path in (inputs.prompts, inputs.candidates))
    use = build_use(prompts, candidates, Path(inputs.use), snakemake.params.seed)
    write_table(use.candidates, Path(output.candidates))
    write_table(use.prompts, Path(output.use))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
