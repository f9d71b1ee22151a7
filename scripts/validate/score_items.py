"""Does a model affirm what it generates, and at which layer do the two part?

Reads a task's items and prompt forms and a model's manifest; takes log-odds and completions from the store and computes
the others; writes, of these, what its rule has as outputs, and how much of each was computed:

- ``scores``: how probable each candidate is as a completion, and whether the model affirms it, in every form;
- ``ranks``: where the right candidate stands among those that the model could go on with;
- ``completions``: what the model itself goes on with, and whether it affirms that;
- ``layers``: log-odds of generator and validator in every layer, by the logit lens;
- ``lens``: what each layer would say on its way through the prompts of one item.

All but ``scores`` are in the task's main form.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.validate.scoring.completions import complete_questions
from leakscope.validate.scoring.lens_item import lens_of_item
from leakscope.validate.scoring.ranks import rank_candidates
from leakscope.validate.scoring.scored import score_items, score_layers
from leakscope.validate.tasks.asking import read_asking

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, output, name = snakemake.params, snakemake.output, snakemake.wildcards.model
    asking = read_asking(
        Path(snakemake.input.forms),
        params.task["styles"],
        name,
        chat=params.chat,
        seed=params.seed,
        batch_size=params.batch_size,
        store=Path(params.store),
    )
    model = open_model(read_manifest(Path(snakemake.input.manifest)), params.loading)
    asked = (model, pd.read_parquet(snakemake.input.item_table), name, asking)
    measures: dict[str, Callable[[], Any]] = {
        "scores": lambda: score_items(*asked),
        "ranks": lambda: rank_candidates(*asked, params.task["rank_among"]),
        "completions": lambda: complete_questions(*asked, params.completion_tokens),
        "layers": lambda: score_layers(*asked),
        "lens": lambda: lens_of_item(*asked, params.task["lens_item"]),
    }
    for measure in filter(output.get, measures):
        answers = measures[measure]()
        write_manifest(answers.summary, Path(output[f"{measure}_summary"]))
        write_table(answers.table, Path(output[measure]))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
