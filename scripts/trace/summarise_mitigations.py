"""Which mitigation takes how much of the leak, what is left of the concept's use, and what does it cost?

Reads leak and use of all prompts with all mitigations, what was chosen of each, and texts that the study has of
mitigated models; writes one row a model, mitigation, strength and split.

Inputs: ``measured`` and ``chosen``, lists in one order; ``units`` (match units by one scorer, a file a prompt set) and
``generations``, lists, empty without the step leak. Parameters: ``costs``, ``level``, ``written`` (model and prompt
set of each of ``generations``), ``mitigated`` (``model, base, prompt_set, mitigation, cost`` of each mitigated model of
the study). Output: ``mitigations``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_csv
from leakscope.jobs.job import job
from leakscope.storage.manifests import read_manifest
from leakscope.trace.removal.table import Written, summarise_mitigations

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, inputs = snakemake.params, snakemake.input
    units = {
        (str(model), str(prompt_set)): table
        for path in inputs.units
        for (model, prompt_set), table in pd.read_parquet(path).groupby(["model", "prompt_set"], sort=False)
    }
    generations = {
        tuple(names): pd.read_parquet(path, columns=["prompt_id", "text"])
        for names, path in zip(params.written, inputs.generations, strict=True)
    }
    mitigated = {
        (one["base"], one["prompt_set"], one["mitigation"], f"{one['cost']:g}"): one["model"]
        for one in params.mitigated
    }
    table = summarise_mitigations(
        [pd.read_parquet(path) for path in inputs.measured],
        [read_manifest(Path(path)) for path in inputs.chosen],
        params.costs,
        params.level,
        params.kept,
        Written(units, generations, mitigated),
    )
    write_csv(table, Path(snakemake.output.mitigations))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
