"""What is asked about each concept, to see whether a model knows its associates?

Reads the prompts and candidates of a set and its file of cues; writes cue prompts and what may follow them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.trace.cues import build_cues

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    inputs, output = snakemake.input, snakemake.output
    prompts, candidates = (pd.read_parquet(path) for path in (inputs.prompts, inputs.candidates))
    cues = build_cues(prompts, candidates, Path(inputs.cues))
    write_table(cues.candidates, Path(output.candidates))
    write_table(cues.prompts, Path(output.cues))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
