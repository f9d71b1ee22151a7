"""How long Snakemake takes to plan a large study: 40 models, 10 prompt sets, 4 scorers, with and without shards.

    .venv/bin/python benchmarks/planning.py

Each plan is a dry run with ``profiles/slurm`` in a copy of the checkout. Every job of a cluster parses the Snakefile
again, so the time of a plan of one job is measured, too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "config.yaml", "rules", "scripts", "schemas", "profiles", "report", "envs", "data")
MODELS, PROMPT_SETS = 40, 10
SCORERS = ["sbert-minilm", "bertscore-minilm", "bertscore-distilbert", "lexical"]


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        for number in range(PROMPT_SETS):
            shutil.copytree(folder / "data/prompt_sets/colors", folder / f"data/prompt_sets/set-{number}")
        print("| plan | jobs | seconds |\n| --- | ---: | ---: |")  # noqa: T201
        for name, shards, targets in (
            ("whole study", 1, ()),
            ("whole study, 8 shards a prompt set", 8, ()),
            ("its prompts alone", 1, ("results/large/prompts/set-0.parquet",)),
        ):
            (folder / "study.yaml").write_text(yaml.safe_dump(study(shards)), encoding="utf-8")
            n_jobs, seconds = plan(folder, targets)
            print(f"| {name} | {n_jobs:,} | {seconds:.1f} |")  # noqa: T201


def study(shards: int) -> dict[str, Any]:
    """Return a study of hub models that nothing has to be fetched for: it is only planned."""
    models, sets = [f"model-{i}" for i in range(MODELS)], [f"set-{i}" for i in range(PROMPT_SETS)]
    return {
        "study": {"name": "large", "models": models, "prompt_sets": sets, "scorers": SCORERS, "steps": ["leak"]},
        "models": {name: {"source": "hub", "id": f"someone/{name}", "parameters": 10**9} for name in models},
        "prompt_sets": {name: {"source": "templates", "path": f"data/prompt_sets/{name}"} for name in sets},
        "generation": {"shards": shards},
    }


def plan(folder: Path, targets: tuple[str, ...]) -> tuple[int, float]:
    """Return how many jobs a dry run plans, and how long it takes from the start of Python to its end."""
    command = [sys.executable, "-m", "snakemake", "-n", "--workflow-profile", "profiles/slurm"]
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, "--configfile", "study.yaml", "--", *targets], cwd=folder, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - begun
    total = re.search(r"^total +(\d+)$", done.stdout, flags=re.M)
    return int(total[1]) if total else 0, seconds


if __name__ == "__main__":
    main()
