"""What does a model behind a server write after each prompt?

Reads prompts; takes texts from the store and asks the server for the others; writes every sample's text like
``generate``, and what was asked, answered and spent.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import write_csv, write_table
from leakscope.jobs.job import job
from leakscope.jobs.progress import say
from leakscope.leak.served_texts import write_texts
from leakscope.storage.manifests import write_manifest
from leakscope.web.asking import LanguageServer
from leakscope.web.taking_turns import open_budget
from leakscope.web.writing import PATHS, Manner, Writer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, output, name = snakemake.params, snakemake.output, snakemake.wildcards.served
    server, asking, store = params.server, params.asking, Path(params.store)
    opened = LanguageServer(server["base_url"], PATHS[params.manner["api"]], server["model"], **asking["requests"])
    prompts = dict(zip(params.settings, map(pd.read_parquet, snakemake.input.prompts), strict=True))
    with open_budget(name, asking, store) as budget:
        writer = Writer(opened, Manner(**params.manner), budget, store)
        completed = write_texts(writer, prompts, name, params.settings)
    files = zip(completed.items(), output.texts, output.tables, output.summaries, strict=True)
    for (prompt_set, (table, summary)), texts, csv, json in files:
        cost = "" if summary["cost"] is None else f", which cost {summary['cost']:.2g}"
        say(f"{name}, {prompt_set}: asked for {summary['computed']:,} of {summary['total']:,} texts{cost}")
        write_manifest(summary, Path(json))
        write_csv(table, Path(csv))
        write_table(table, Path(texts))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
