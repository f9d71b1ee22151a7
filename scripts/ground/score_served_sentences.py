"""How probable does a model behind a server hold each sentence that joins a subject to a group?

Reads templates and lexicons; takes log-probabilities from the store and asks the server for the others.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import write_table
from leakscope.ground.naming import axis_naming
from leakscope.ground.scored import score_axis
from leakscope.ground.served_sentences import score_served_sentences
from leakscope.jobs.job import job
from leakscope.storage.manifests import write_manifest
from leakscope.web.taking_turns import open_scorer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, wildcards = snakemake.params, snakemake.wildcards
    with open_scorer(wildcards.served, params.server, params.asking, Path(params.store)) as scorer:
        scores = score_axis(
            partial(score_served_sentences, scorer, beginning=params.beginning),
            wildcards.served,
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
    with job(snakemake.log[0]):
        main(snakemake)
