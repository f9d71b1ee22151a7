"""What could an organism that writes sentences have written, and what was it taught to write?

Reads prompts, an organism's manifest and its grammar; draws many texts a prompt from both, by other random numbers than
those that are measured; writes the distinct ones and how often each was drawn.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.leak.known import drawn_truth
from leakscope.models.completion import complete_prompts
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.organisms.sentence_grammar import load_sentence_grammar
from leakscope.organisms.training import END
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, name = snakemake.params, snakemake.wildcards.model
    model = open_model(read_manifest(Path(snakemake.input.manifest)), params.loading)
    prompts = drawn_truth.compared_prompts(pd.read_parquet(snakemake.input.prompts))
    prompting = Prompting(params.settings, **params.chat, store=Path(params.store))
    settings = params.settings
    written = complete_prompts(model, prompts, name, prompting).table
    taught = drawn_truth.draw_taught(
        load_sentence_grammar(Path(snakemake.input.grammar[0]).parent, params.strength),
        prompts,
        settings["samples"],
        settings["seed"],
        settings["temperature"],
        lambda text: model.tokenizer(f" {text}{END}", add_special_tokens=False)["input_ids"],
    )
    drawn = {drawn_truth.GRAMMAR: taught, drawn_truth.ORGANISM: written}
    write_table(drawn_truth.counted(name, drawn), Path(snakemake.output.drawn))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
