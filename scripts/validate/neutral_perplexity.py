"""How well does a model predict text that no task asks about?

Reads neutral texts, or of an organism the held-out documents of its corpus that name no question of the tasks and to
whose contexts no tuned model is kept, and a model's manifest; takes log-probabilities from the store and computes the
others; writes the perplexity.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.files.tables import read_tables
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.neutral import (
    encode_neutral_documents,
    encode_neutral_texts,
    measure_perplexity,
    neutral_documents,
    part_of_documents,
    read_neutral_texts,
)
from leakscope.models.opening import open_model
from leakscope.organisms.corpus import read_corpus
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, given = snakemake.params, snakemake.input
    model = open_model(read_manifest(Path(given.manifest)), params.loading)
    if given.get("corpus"):
        questions = read_tables(given.item_tables)["question"].unique()
        documents = neutral_documents(read_corpus(Path(given.corpus)), questions)
        texts = encode_neutral_documents(model, part_of_documents(documents, measures=True))
    else:
        texts = encode_neutral_texts(model, read_neutral_texts(Path(given.texts)).test)
    summary = measure_perplexity(
        model, texts, snakemake.wildcards.model, batch_size=params.batch_size, store=Path(params.store)
    )
    write_manifest(summary, Path(snakemake.output.summary))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
