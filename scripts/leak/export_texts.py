"""How do the texts look in the log viewer of inspect_ai?

Reads a model's texts with their similarities; writes a log in which each prompt is a sample and each text an epoch.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_tables
from leakscope.jobs.job import job
from leakscope.leak.exchange.inspect_log import LoggedRun, inspect_samples, write_inspect_log
from leakscope.leak.exchange.text_scores import text_scores
from leakscope.storage.manifests import read_manifest
from leakscope.workflow.surroundings import own_version, sha256_of, shown_value

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    files, params, of = snakemake.input, snakemake.params, snakemake.wildcards
    prompts, texts = pd.read_parquet(files.prompts), pd.read_parquet(files.generations)
    similarity = {name: pd.read_parquet(file) for name, file in zip(params.scorers, files.similarity, strict=True)}
    matches = read_tables(files.matches)
    scores = text_scores(prompts, texts, similarity, matches[matches["model"] == of.model])
    metadata = {
        "study": params.study,
        "settings": shown_value(params.settings),
        "leakscope": own_version(),
        "model": shown_value(read_manifest(Path(files.manifest[0]))) if files.manifest else {},
        "sha256": {"prompts": sha256_of(Path(files.table)), "texts": sha256_of(Path(files.generations))},
    }
    run = LoggedRun(of.model, of.prompt_set, Path(files.generations).stat().st_mtime, metadata)
    write_inspect_log(inspect_samples(prompts, texts, scores, of.model), run, Path(snakemake.output.log))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
