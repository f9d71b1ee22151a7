"""What does a small model make of a corpus whose associations are known?

Reads a corpus and its tokenizer; writes an ordinary model folder, its manifest, and its loss beside the entropy.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoTokenizer

from leakscope.jobs.job import job
from leakscope.organisms.corpus import read_corpus
from leakscope.organisms.training import Size, Training, new_organism, save_organism, train_organism, training_record
from leakscope.storage.manifests import describe_folder, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    folder = Path(snakemake.output.manifest).parent
    tokenizer = AutoTokenizer.from_pretrained(Path(snakemake.input.tokenizer[0]).parent)
    training = Training(**snakemake.params.training, seed=snakemake.params.seed)
    model = new_organism(Size(**snakemake.params.size), tokenizer, training)
    documents = list(read_corpus(Path(snakemake.input.train)))
    losses = train_organism(model, tokenizer, documents, training, snakemake.wildcards.organism)
    held_out = list(read_corpus(Path(snakemake.input.held_out)))
    write_manifest(training_record(model, tokenizer, held_out, losses), Path(snakemake.output.training))
    save_organism(model, tokenizer, folder)
    write_manifest(describe_folder(folder, "organism"), Path(snakemake.output.manifest))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
