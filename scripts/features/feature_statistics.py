"""Which tokens does each feature of a dictionary promote, and how are its logit weights distributed?

Reads a dictionary and a model's manifest; writes a table of statistics and one of promoted and suppressed tokens.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.features.description.logit_weights import logit_weights
from leakscope.features.description.unembedding import effective_unembedding
from leakscope.features.dictionaries.texts import token_texts
from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.models.editing.dictionary_files import open_dictionary
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    params, given = snakemake.params, snakemake.input
    dictionary = open_dictionary(read_manifest(Path(given.manifest)))
    model = open_model(read_manifest(Path(given.model_manifest)), params.loading)
    unembedding = effective_unembedding(model.model)
    weights = logit_weights(dictionary.decoder, unembedding, len(model.tokenizer), params.promoted)
    distinct = sorted(set(weights.promoted["token_id"]))
    texts = dict(zip(distinct, token_texts(model.tokenizer, distinct), strict=True))
    promoted = weights.promoted.copy()
    promoted.insert(4, "token", promoted["token_id"].map(texts))
    write_table(weights.statistics, Path(snakemake.output.statistics))
    write_table(promoted, Path(snakemake.output.promoted))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
