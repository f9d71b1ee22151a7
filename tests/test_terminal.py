"""What a run says: few lines, whatever its size; failures whole; what is needed of Snakemake's own."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_leakscope import FAILED_LINES, FIRST_WAIT, LINES, LogHandler, Terminal, progress_of
from workspace import Workspace


class Clock:
    """Seconds that pass when told so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A terminal with its clock, and what it wrote."""

    def __init__(self, total: int) -> None:
        self.stream, self.clock = io.StringIO(), Clock()
        self.terminal = Terminal(self.stream, self.clock)
        self.terminal.planned({"generate": total - 1, "all": 1, "total": total})

    def jobs(self, numbers: range, seconds: float = 10.0) -> None:
        for number in numbers:
            self.terminal.started(number, "generate", {"model": f"m{number}", "prompt_set": "colors"}, [])
            self.clock.now += seconds
            self.terminal.finished(number)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def test_each_job_of_a_small_study_has_a_line_with_what_is_done_and_left() -> None:
    run = Run(6)
    run.jobs(range(4))
    assert run.lines == [
        "6 jobs: 5 generate.",
        "[1 of 6]  generate m0 colors, 10 s",
        "[2 of 6]  generate m1 colors, 10 s",
        "[3 of 6]  generate m2 colors, 10 s; about 30 s left",
        "[4 of 6]  generate m3 colors, 10 s; about 20 s left",
    ]


def test_a_plan_that_is_told_twice_is_said_once() -> None:
    run = Run(6)
    run.terminal.planned({"generate": 5, "all": 1, "total": 6})
    assert run.lines == ["6 jobs: 5 generate."]


@pytest.mark.parametrize("total", [41, 400, 40_000])
def test_a_large_study_has_no_more_lines_than_can_be_read(total: int) -> None:
    run = Run(total)
    run.jobs(range(total))
    assert len(run.lines) <= LINES + 1
    assert run.lines[-1].startswith(f"[{total} of {total}]")


def test_failures_are_said_up_to_a_number_and_then_that_there_are_more() -> None:
    run = Run(100)
    for number in range(50):
        run.terminal.started(number, "generate", {"model": f"m{number}"}, [])
        run.terminal.failure(number, "generate")
    assert run.lines[1] == "[  0 of 100]  failed: generate m0"
    assert len(run.lines) == 1 + FAILED_LINES + 1
    assert run.lines[-1] == "More jobs fail; all are listed in the end."


def test_what_runs_is_said_after_a_silence_that_doubles(tmp_path: Path) -> None:
    run = Run(9)
    log = tmp_path / "job.log"
    log.write_text(
        "x INFO leakscope.jobs.progress: small  ####.       40 %  4 of 10 texts, 00:17 left\nx INFO other: y\n"
    )
    run.terminal.started(1, "train_organism", {"organism": "s"}, [])
    run.terminal.started(2, "generate", {"model": "m"}, [str(tmp_path / "none"), str(log)])
    for _ in range(2000):
        run.clock.now += 1
        run.terminal.silence()
    said = run.lines[1:]
    assert said[0] == "[0 of 9]  running: train_organism s (30 s), generate m (small 40 % 4 of 10 texts, 00:17 left)"
    assert len(said) == 6  # after 30, 60, 120, 240, 480 and 960 seconds
    run.terminal.finished(1)
    run.terminal.finished(2)
    run.clock.now += 64 * FIRST_WAIT
    run.terminal.silence()
    assert len(run.lines) == 9  # nothing runs


def test_a_log_without_progress_has_none(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("INFO leakscope.jobs.job: stopped: no\n")
    assert progress_of([str(tmp_path / "log")]) is None
    assert progress_of([]) is None


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[LogHandler]:
    monkeypatch.setenv("LEAKSCOPE_PROGRESS", "")
    found = LogHandler(SimpleNamespace(), None)  # type: ignore[arg-type]
    found.terminal.stream = io.StringIO()
    yield found
    found.close()


def said(handler: LogHandler, message: str | None, level: int = logging.INFO, **fields: Any) -> str:
    record = logging.LogRecord("snakemake", level, "", 0, message, (), None)
    record.__dict__ |= fields
    handler.emit(record)
    return str(handler.terminal.stream.getvalue())  # type: ignore[attr-defined]


def test_records_of_snakemake_become_lines(handler: LogHandler) -> None:
    assert os.environ["LEAKSCOPE_PROGRESS"] == "log"
    assert said(handler, "SNAKEMAKE", event=LogEvent.WORKFLOW_STARTED) == ""
    said(handler, "Job stats", event=LogEvent.RUN_INFO, stats={"leak_rates": 1, "total": 2})
    job = {"jobid": 4, "rule_name": "leak_rates", "wildcards": {}, "log": ["a.log"]}
    said(handler, None, event=LogEvent.JOB_INFO, **job)
    said(handler, "Execute 1 jobs...", event=LogEvent.JOB_STARTED, jobs=[4])
    said(handler, None, event=LogEvent.PROGRESS, done=1, total=2)
    assert said(handler, "Finished jobid: 4", event=LogEvent.JOB_FINISHED, job_id=4) == (
        "2 jobs: 1 leak_rates.\n[1 of 2]  leak_rates, 0 s\n"
    )
    said(handler, None, event=LogEvent.JOB_INFO, **job)
    assert said(handler, "Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, **job).endswith(
        "failed: leak_rates\n"
    )


@pytest.mark.parametrize(
    ("message", "level", "event", "is_said"),
    [
        ("Nothing to be done (all requested files are present and up to date).", logging.INFO, None, True),
        ("Select jobs to execute...", logging.INFO, None, False),
        ("colors: 25 texts after each control", logging.WARNING, None, True),
        ("1 job failed:", logging.ERROR, None, True),
        ("Exiting because a job execution failed. Look below for error messages", logging.ERROR, None, False),
        ("RuleException:\nCalledProcessError in file x", logging.ERROR, LogEvent.ERROR, False),
        ("WorkflowError:\nconfig: study.name: got 3", logging.ERROR, LogEvent.ERROR, True),
        ("100 % {braces} %s", logging.WARNING, None, True),
    ],
)
def test_warnings_errors_and_what_is_up_to_date_are_said(
    handler: LogHandler, message: str, level: int, event: LogEvent | None, is_said: bool
) -> None:
    assert said(handler, message, level, **({"event": event} if event else {})) == (f"{message}\n" if is_said else "")


@pytest.mark.workflow
def test_a_run_of_many_jobs_with_failures_is_short_and_its_log_is_whole(tmp_path: Path) -> None:
    """Twelve imported models on a table, of which three have a text too few: the others' jobs end, and all is said."""
    workspace = Workspace(tmp_path / "w")
    folder = workspace.folder
    (folder / "mine.csv").write_text(
        "prompt,n_control,concept\nI ate,,\nI ate a plum. I ate,0,a plum\nHe ate. I ate,0,he\n"
    )
    models = {}
    for number in range(12):
        rows = [
            "prompt_id,sample,text",
            *(f"{row},0,text {number}" for row in ("1", "2", "3")[: 2 if number % 4 == 0 else 3]),
        ]
        (folder / f"m{number}.csv").write_text("\n".join(rows) + "\n")
        models[f"m{number}"] = {"source": "generations", "path": f"m{number}.csv"}
    study = {
        "study": {
            "name": "many",
            "models": [*models],
            "prompt_sets": ["mine"],
            "scorers": ["lexical"],
            "steps": ["leak"],
        },
        "models": models,
        "prompt_sets": {"mine": {"source": "table", "path": "mine.csv"}},
    }
    done = workspace.run("--cores", "2", "--logger", "leakscope", study=study, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode != 0
    assert len(lines) < 60, lines
    assert sum("import_generations m0 " in line and "prompt" in line for line in lines) == 1
    logs = "".join(path.read_text() for path in (folder / ".snakemake/log").glob("*.log"))
    assert "Error in rule import_generations" in logs
