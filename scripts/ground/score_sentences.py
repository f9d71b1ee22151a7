"""How probable does a model hold each sentence that joins a subject to a group?

Reads templates, lexicons and a model's manifest; takes log-probabilities from the store and computes the others.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from leakscope.files.tables import write_table
from leakscope.ground.naming import axis_naming
from leakscope.ground.scored import score_axis
from leakscope.ground.sentence_scores import score_sentences
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.kinds import CAUSAL, ENCODER_DECODER, MASKED
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest, write_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, wildcards = snakemake.params, snakemake.wildcards
    kinds = (CAUSAL, MASKED, ENCODER_DECODER)
    model = open_model(read_manifest(Path(snakemake.input.manifest)), params.loading, kinds)
    score = partial(
        score_sentences,
        model,
        name=wildcards.model,
        batch_size=params.batch_size,
        store=Path(params.store),
        masking=params.masking,
    )
    scores = score_axis(
        score,
        wildcards.model,
        wildcards.axis,
        axis_naming(params.naming),
        lexicons={side: Path(path) for side, path in params.naming["lexicons"].items()},
        templates=dict(zip(params.languages, map(Path, snakemake.input.templates), strict=True)),
        templates_used=params.templates_used,
        country=params.country,
    )
    write_manifest(scores.summary, Path(snakemake.output.summary))
    write_table(scores.table, Path(snakemake.output.scores))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
