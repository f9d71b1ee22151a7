"""What did somebody else's run of a model write after each prompt?

Reads a table of texts in long or wide form and joins it to the prompts; writes generations like ``generate``.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_csv, write_table
from leakscope.jobs.job import job
from leakscope.leak.imported_texts import import_generations
from leakscope.storage.manifests import write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

logger = logging.getLogger(__name__)


def main(snakemake: "Snakemake") -> None:
    how = snakemake.params.table
    texts, warnings = import_generations(
        Path(snakemake.input.table),
        pd.read_parquet(snakemake.input.prompts),
        how["called"],
        snakemake.wildcards.prompt_set,
        samples=how["samples"],
        prompts_path=Path(how["prompts_path"]),
        sheet=how["sheet"],
        control_samples=how["control_samples"],
        strip_prompt=how["strip_prompt"],
    )
    texts["model"] = snakemake.wildcards.imported
    for warning in warnings:
        logger.warning("%s", warning)
    write_manifest({"total": len(texts), "imported": len(texts)}, Path(snakemake.output.summary))
    write_csv(texts, Path(snakemake.output.table))
    write_table(texts, Path(snakemake.output.texts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
