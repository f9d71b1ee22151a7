"""What does each edit leave of a contrast, and what does it cost?

Reads a dictionary, its selected features, what its model has at the texts of a contrast, and neutral texts, of an
organism the held-out documents that name no item; writes the effects of all edits, those on single items of the chosen
ones, and the chosen edits.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.features.contrasts.items import ITEM, items_of
from leakscope.features.contrasts.selection import open_contrasted
from leakscope.features.interventions.candidates import Planner, largest_activations, plan_interventions
from leakscope.features.interventions.choosing import choose_edits
from leakscope.features.interventions.effects import EditBench, EditTexts
from leakscope.features.interventions.greedy import GREEDY, choose_greedily
from leakscope.features.interventions.neutral_texts import neutral_halves, own_neutral_halves
from leakscope.files.tables import read_csv, write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.editing.dictionary_files import open_dictionary
from leakscope.models.neutral import read_neutral_texts
from leakscope.models.opening import open_model
from leakscope.organisms.corpus import read_corpus
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, given, wildcards = snakemake.params, snakemake.input, snakemake.wildcards
    model = open_model(read_manifest(Path(given.model_manifest)), params.loading)
    contrasted = open_contrasted(
        open_dictionary(read_manifest(Path(given.manifest))), Path(given.activations), Path(given.prompts)
    )
    prompts, number = contrasted.prompts, params.settings["neutral_texts"]
    if params.is_own:
        neutral = own_neutral_halves(model, read_corpus(Path(given.neutral)), items_of(prompts), number)
    else:
        neutral = neutral_halves(model, read_neutral_texts(Path(given.neutral)), items_of(prompts), number)
    held_out = pd.read_parquet(given.firing).set_index("feature")["maximum"].to_dict()
    maxima = largest_activations(contrasted, held_out)
    texts = EditTexts(prompts[prompts["kind"].eq(ITEM)].reset_index(drop=True), *neutral)
    bench = EditBench(model.model, contrasted.dictionary, texts, batch_size=params.batch_size)
    selection, costs = read_csv(given.selection), params.settings["costs"]
    if GREEDY in params.settings["methods"]:
        how = {"names": params.settings["edits"], "size": max(params.settings["sizes"]), "largest_cost": max(costs)}
        greedy = choose_greedily(bench, selection, Planner(contrasted, maxima).edit, **how)
        selection = pd.concat([selection, greedy], ignore_index=True)
    families = plan_interventions(contrasted, selection, maxima, params.settings)
    measured = bench.measure(families, costs, f"{wildcards.dictionary}, {wildcards.contrast}")
    names = {"dictionary": wildcards.dictionary, "contrast": wildcards.contrast}
    chosen = choose_edits(bench.without(), measured, costs, params.level, names)
    write_table(chosen.effects, Path(snakemake.output.effects))
    write_table(chosen.by_item, Path(snakemake.output.by_item))
    write_manifest(chosen.edits, Path(snakemake.output.chosen))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
