"""Write the report that a study would have, from stand-ins for its results: plan it, run nothing.

A program, because Snakemake keeps one workflow a process. Its first argument is a folder with a file ``stand_in`` of
every kind that stands in a report (``stand_in.png``); the others are Snakemake's, ``--report`` among them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import snakemake.report
from snakemake.cli import main
from snakemake.io import is_flagged

from leakscope.workflow import brought

write_report = snakemake.report.auto_report


async def report_of_stand_ins(dag: Any, *settings: Any) -> None:
    """Copy the stand-in of its kind to everything that stands in the report, then write the report."""
    outputs = [Path(output) for job in dag.jobs for output in job.output if is_flagged(output, "report")]
    for path in outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(sys.argv[1], f"stand_in{path.suffix}"), path)
    dag.workflow.iocache.deactivate()  # which remembers that there was nothing
    await write_report(dag, *settings)


if __name__ == "__main__":
    snakemake.report.auto_report = report_of_stand_ins
    # What a study brings is a stand-in, too, and none that can be read.
    brought.look_into = lambda study: []
    main(sys.argv[2:])
