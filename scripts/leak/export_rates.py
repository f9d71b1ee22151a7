"""What would a page of the model on the hub say of its match rates?

Reads match rates and prompts; writes a model's results as `model-index` and for `.eval_results/`.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.files.tables import read_csv
from leakscope.files.writing import replacing
from leakscope.files.writing_yaml import as_yaml
from leakscope.jobs.job import job
from leakscope.leak.exchange.model_page import eval_results, model_index
from leakscope.workflow.surroundings import own_version, sha256_of

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    files, params, model = snakemake.input, snakemake.params, snakemake.wildcards.model
    rates = read_csv(files.rates)
    rates, version = rates[rates["model"] == model], own_version()
    hashes = {name: sha256_of(Path(file)) for name, file in zip(params.prompt_sets, files.prompts, strict=True)}
    date = datetime.fromtimestamp(Path(files.rates).stat().st_mtime, UTC).isoformat(timespec="seconds")
    write(model_index(rates, params.name, hashes, params.level, version), Path(snakemake.output.index))
    write(eval_results(rates, hashes, params.level, version, date), Path(snakemake.output.results))


def write(content: object, path: Path) -> None:
    with replacing(path) as part:
        part.write_text(as_yaml(content), encoding="utf-8")


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
