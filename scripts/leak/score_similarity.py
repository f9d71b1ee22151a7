"""How similar is each text to its concept?

Reads the distinct pairs of concept and text; takes embeddings from the store and computes the others; writes the pairs'
similarity by one scorer, whether the encoder cut the text, and how many embeddings were computed.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.files.tables import write_table
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.similarity.encoders import Embedder, cut_warning
from leakscope.similarity.scorers import score_pairs
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

logger = logging.getLogger(__name__)


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    pairs = pd.read_parquet(snakemake.input.pairs)
    settings = dict(snakemake.params.scorer)
    if snakemake.params.fetched:
        settings["commit"] = read_manifest(Path(snakemake.input.encoder[0]))["commit"]
    for sentence in snakemake.params.unread:
        logger.warning("%s", sentence)
    embedder = Embedder(Path(snakemake.params.store))
    concepts, texts, languages = (pairs[name].tolist() for name in ("concept", "text", "languages"))
    pairs["similarity"] = score_pairs(concepts, texts, settings, embedder, languages)
    # A text of which the encoder read the beginning alone is no less scored; tables count it.
    pairs["cut"] = pairs["text"].isin(embedder.cut)
    if embedder.cut:
        logger.warning("%s", cut_warning(snakemake.wildcards.scorer, embedder.cut, embedder.n_distinct))
    write_manifest(embedder.summary(), Path(snakemake.output.summary))
    write_table(pairs, Path(snakemake.output.similarity))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
