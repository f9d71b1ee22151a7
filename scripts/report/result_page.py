"""What did the study find, and when should one not believe it?

Reads the leading tables and figures of all steps of a study; writes one self-contained page, to be opened first.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_csv, read_tables
from leakscope.jobs.job import job
from leakscope.results.example import middling_pair
from leakscope.results.page import Leading, LeftOut, PageSection, Rates, foremost, write_result_page
from leakscope.results.rows import pairs_of_texts, rate_rows
from leakscope.results.steps import found_in
from leakscope.storage.manifests import read_manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, files = snakemake.params, snakemake.input
    missing = dict.fromkeys(params.without, "left out, as `without` says")
    for path in files.failures:
        reasons = read_manifest(Path(path))["models"]
        missing |= {model: why for model, why in reasons.items() if model in missing}
    write_result_page(
        Path(snakemake.output.page),
        params.study,
        read_rates(snakemake) if params.leading else None,
        read_sections(snakemake),
        LeftOut(missing, params.imported),
    )


def read_rates(snakemake: "Snakemake") -> Rates:
    files, params = snakemake.input, snakemake.params
    leading, prompts = Leading(**params.leading), read_tables(files.prompts)
    rates, leak_rates = map(read_csv, files.rates)
    truth = read_csv(files.truth[0]) if files.truth else None
    pairs = pairs_of_texts(read_tables(files.texts), prompts)
    rows = rate_rows(rates, leak_rates, pairs, truth, params.names)
    own = prompts[prompts["prompt_set"] == leading.prompt_set].reset_index(drop=True)
    of_model = dict(zip(leading.models, files.generations, strict=True))
    texts, similarity = pd.read_parquet(of_model[foremost(rows, leading)]), pd.read_parquet(files.similarity[0])
    example = middling_pair(own, texts, similarity, leading.scorer, params.decimals)
    return Rates(rows, leading, params.organisms, example, params.level, params.unread)


def read_sections(snakemake: "Snakemake") -> list[PageSection]:
    files, names = snakemake.input, snakemake.params.names
    tables, figures, sections = iter(files.tables), iter(files.figures), []
    for step, shown in snakemake.params.steps.items():
        found = found_in(shown["table"], read_csv(next(tables)), names) if shown["table"] else None
        figure = Path(next(figures)) if shown["figure"] else None
        sections.append(PageSection(step, found, figure, shown["alt"], shown["links"]))
    return sections


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
