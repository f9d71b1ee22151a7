"""How is the prompt set run by lm-evaluation-harness?

Reads prompts; writes a folder of a task that the harness runs, and whose texts leakscope imports.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.jobs.job import job
from leakscope.leak.exchange.lm_eval_task import Sampled, write_task
from leakscope.workflow.surroundings import own_version, sha256_of

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    metadata = {"leakscope": own_version(), "prompts_sha256": sha256_of(Path(snakemake.input.table))}
    folder, sampled = Path(snakemake.output.task).parent, Sampled(**snakemake.params.sampled)
    write_task(pd.read_parquet(snakemake.input.prompts), snakemake.wildcards.prompt_set, sampled, metadata, folder)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
