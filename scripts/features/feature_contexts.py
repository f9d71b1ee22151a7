"""How often, how strongly, on which tokens and in which contexts does each feature of a dictionary fire?

Reads a dictionary, held-out activations and a model's tokenizer.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.features.description.contexts import read_contexts, write_contexts
from leakscope.features.dictionaries.texts import token_texts
from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.editing.dictionary_files import open_dictionary
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, given, output = snakemake.params, snakemake.input, snakemake.output
    dictionary = open_dictionary(read_manifest(Path(given.manifest)))
    shards = [given.activations] if isinstance(given.activations, str) else given.activations
    tokenizer = open_model(read_manifest(Path(given.model_manifest)), params.loading).tokenizer
    name = snakemake.wildcards.dictionary
    described = read_contexts(dictionary, [Path(shard) for shard in shards], params.contexts, params.seed, name)
    distinct = sorted(set(described.tokens["token_id"]))
    texts = dict(zip(distinct, token_texts(tokenizer, distinct), strict=True))
    tokens = described.tokens.copy()
    tokens.insert(1, "token", tokens["token_id"].map(texts))
    write_table(described.firing, Path(output.firing))
    write_table(described.token_counts, Path(output.token_counts))
    write_table(tokens, Path(output.tokens))
    write_contexts(described, texts, Path(output.contexts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
