"""Which edit makes a model another one?

Reads the manifests of the model and of a dictionary, and either what was chosen on a contrast or how its features fire;
writes the manifest of the edited model.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.jobs.job import job
from leakscope.models.editing.edited_models import chosen_edit, describe, explicit_edit
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    given, entry = snakemake.input, snakemake.params.entry
    where = f"models: {snakemake.wildcards.edited_model}"
    dictionary = read_manifest(Path(given.dictionary))
    # Of the two, the one that is not asked for is an empty list.
    if entry["contrast"] is not None:
        edit = chosen_edit(read_manifest(Path(given.chosen[0])), entry["cost"], where)
    else:
        edit = explicit_edit(entry, dictionary, pd.read_parquet(given.firing[0]), where)
    manifest = describe(edit, read_manifest(Path(given.manifest)), dictionary)
    write_manifest(manifest, Path(snakemake.output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
