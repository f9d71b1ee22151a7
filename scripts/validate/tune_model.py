"""Can a model be taught to affirm what it generates?

Reads a task's items, their split and prompt forms, the base's manifest and scores, and neutral texts; writes the tuned
model, or the adapter that makes the base one, its manifest, and how the training went.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.models.opening import open_model
from leakscope.storage.manifests import describe_adapter, describe_folder, read_manifest, write_manifest
from leakscope.validate.tasks.asking import read_asking
from leakscope.validate.tasks.splits import read_splits
from leakscope.validate.tuning.examples import training_examples
from leakscope.validate.tuning.methods import read_method, trains_all
from leakscope.validate.tuning.tune import neutral_rows, training_options, tune

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    given, params, name = snakemake.input, snakemake.params, snakemake.wildcards.model
    method = read_method(params.method, f"model {name}: method")
    full = trains_all(method.parameters, is_organism=params.is_organism)
    base = read_manifest(Path(given.manifest))
    model = open_model(base, training_options(params.loading, full=full, is_organism=params.is_organism))
    asking = read_asking(
        Path(given.forms),
        params.task["styles"],
        name,
        chat=params.chat,
        seed=params.examples_seed,
        batch_size=method.batch_size,
        store=None,
    )
    items = pd.read_parquet(given.item_table)
    splits = read_splits(Path(given.splits), items)
    examples = training_examples(model, items, splits, pd.read_parquet(given.scores), asking)
    questions = items["question"].unique()
    neutral = neutral_rows(model, method, Path(given.neutral), questions, is_corpus=params.is_organism)
    checkpoint = Path(params.checkpoint)
    tuned = tune(model, examples, neutral, method, full=full, seed=params.seed, name=name, checkpoint=checkpoint)
    folder = Path(snakemake.output.manifest).parent
    # A method that once trained an adapter, and now all weights, has left files that are not outputs of this rule.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tuned.learner.save(folder)
    write_manifest(tuned.record, Path(snakemake.output.training))
    manifest = describe_folder(folder, "tuned") if full else describe_adapter(folder, base)
    write_manifest(manifest, Path(snakemake.output.manifest))
    shutil.rmtree(checkpoint, ignore_errors=True)


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
