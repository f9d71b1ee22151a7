"""Run by an interpreter that has lm-eval: runs jobs of the rule ``score_tasks``, each with what it is given.

``python harness_peer.py <folder>``: in ``jobs.json`` are jobs by name, each with ``input`` and ``params``; written are
``<name>.parquet``, or ``<name>.txt`` with the mistake of a job that cannot be done.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

from leakscope.errors import InputError

SCRIPT = Path(__file__).parents[1] / "scripts/trace/score_tasks.py"


def main(folder: Path) -> None:
    run = runpy.run_path(str(SCRIPT))["main"]
    for name, given in json.loads((folder / "jobs.json").read_text(encoding="utf-8")).items():
        parts = {part: SimpleNamespace(**given[part]) for part in ("input", "params")}
        output = SimpleNamespace(scores=folder / f"{name}.parquet")
        try:
            run(SimpleNamespace(**parts, output=output, threads=1))
        except InputError as error:
            (folder / f"{name}.txt").write_text(str(error), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
