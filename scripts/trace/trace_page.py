"""How do an association's links hang together, from the corpus to the text?

Reads the tables of the step, contexts, curves of layers, prompts and texts; writes one self-contained page.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leakscope.files.tables import read_csv, read_tables
from leakscope.jobs.job import job
from leakscope.trace.page.details import Parts
from leakscope.trace.page.page import TraceStudy, TraceTables, write_trace_page
from leakscope.trace.page.retrained import Retrained

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    files, params = snakemake.input, snakemake.params
    # Where no mitigation was tried there is no table of them.
    tables = TraceTables(*(read_csv(Path(str(files[name]))) for name in TraceTables._fields if files[name]))
    retrained = {model: Retrained(**entry) for model, entry in params.get("retrained", {}).items()}
    study = TraceStudy(
        params.study,
        params.labels,
        params.organisms,
        params.level,
        params.features,
        retrained,
        params.removed,
        params.mitigations,
    )
    write_trace_page(Path(snakemake.output.page), study, tables, read_parts(snakemake))


def read_parts(snakemake: "Snakemake") -> Parts:
    """Return what an opened association shows; ``params.texts`` says whose texts each file has, by prompt set."""
    files, of = snakemake.input, snakemake.params.texts
    texts = [
        pd.read_parquet(path).assign(model=model, prompt_set=prompt_set)
        for path, (model, prompt_set) in zip(files.generations, of, strict=True)
    ]
    return Parts(
        *(read_tables(files[name]) if files[name] else pd.DataFrame() for name in ("contexts", "lens", "patched")),
        prompts=read_tables(files.prompts),
        generations=pd.concat(texts, ignore_index=True) if texts else pd.DataFrame(),
    )


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
