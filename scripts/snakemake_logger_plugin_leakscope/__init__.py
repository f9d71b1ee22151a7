"""A terminal that stays readable: ``snakemake --logger leakscope``, as ``make run`` calls it.

A line for each job that ends, with what is done of the whole and the time that is left; of a study of hundreds of jobs
so many lines that they can be read. What is still running is said now and then. Failures and warnings are said whole.
Everything else, and all of that in full, stands in Snakemake's own log below ``.snakemake/log``.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from logging import WARNING, LogRecord
from pathlib import Path
from typing import Any, TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

LINES = 40  # of finished jobs, at most
FAILED_LINES = 20  # of failed jobs, at most, while the others run; in the end the workflow lists them all
SHOWN = 3  # running jobs that are named
FIRST_WAIT = 30.0  # seconds without a line, after which is said what runs; doubled each time
TAIL = 4096  # bytes of a job's log in which its progress is looked for
PROGRESS = re.compile(r"leakscope\.jobs\.progress: (.+)$", re.MULTILINE)
# What Snakemake says beside events and is of use to who reads; and what it only repeats.
KEPT = re.compile(r"Nothing to be done|Report created")
REPEATED = re.compile(
    r"(Shutting down|Exiting because|At least one job|Complete log|RuleException|WorkflowError:\nAt least)"
)


class Terminal:
    """What is written of a run, line by line.

    Args:
        stream: written to.
        clock: seconds, whatever their origin.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.total = self.done = self.failed = self.said = 0
        self.names: dict[int, str] = {}
        self.running: dict[int, tuple[float, list[str]]] = {}
        self.begun = self.last = clock()
        self.wait = FIRST_WAIT

    def planned(self, stats: Mapping[str, int]) -> None:
        """Say how many jobs there are, once: of a dry run Snakemake says it again in the end."""
        if self.total:
            return
        self.total = int(stats.get("total", 0))
        rules = sorted(((n, rule) for rule, n in stats.items() if rule not in ("total", "all")), reverse=True)
        most = ", ".join(f"{n} {rule}" for n, rule in rules[:SHOWN])
        more = f" and {len(rules) - SHOWN} other rules" if len(rules) > SHOWN else ""
        self.write(f"{self.total} jobs: {most}{more}.")

    def started(self, job: int, rule: str, wildcards: Mapping[str, str] | None, logs: list[str]) -> None:
        """Note a job that runs."""
        self.names[job] = " ".join([rule, *(str(value) for value in (wildcards or {}).values())])
        self.running[job] = (self.clock(), logs)

    def finished(self, job: int) -> None:
        """Say that a job has ended, if it is time for a line."""
        since, _ = self.running.pop(job, (self.clock(), []))
        self.done += 1
        step = max(1, -(-self.total // LINES))
        if self.done % step == 0 or self.done == self.total:
            took = duration(self.clock() - since)
            self.write(f"{self._share()}  {self.names.get(job, 'a job')}, {took}{self._left()}")

    def failure(self, job: int, rule: str) -> None:
        """Say that a job has failed; its reason is said in the end."""
        self.running.pop(job, None)
        self.failed += 1
        if self.failed <= FAILED_LINES:
            self.write(f"{self._share()}  failed: {self.names.get(job, rule)}")
        elif self.failed == FAILED_LINES + 1:
            self.write("More jobs fail; all are listed in the end.")

    def silence(self) -> None:
        """Say what runs, if nothing was said for long."""
        now = self.clock()
        if not self.running or now - self.last < self.wait:
            return
        self.wait = min(2 * self.wait, 64 * FIRST_WAIT)
        jobs = sorted((since, job, logs) for job, (since, logs) in self.running.items())
        said = ((job, progress_of(logs) or duration(now - since)) for since, job, logs in jobs[:SHOWN])
        named = [f"{self.names[job]} ({how_far})" for job, how_far in said]
        more = f" and {len(jobs) - SHOWN} more" if len(jobs) > SHOWN else ""
        self.write(f"{self._share()}  running: {', '.join(named)}{more}")

    def write(self, text: str) -> None:
        """Write a line."""
        self.stream.write(text.rstrip() + "\n")
        self.stream.flush()
        self.last = self.clock()

    def _share(self) -> str:
        width = len(str(self.total))
        return f"[{self.done:{width}d} of {self.total}]"

    def _left(self) -> str:
        """Return how long the rest takes if its jobs take as long as those before; nothing of few jobs."""
        if self.done < 3 or self.done >= self.total:
            return ""
        return f"; about {duration((self.clock() - self.begun) / self.done * (self.total - self.done))} left"


def duration(seconds: float) -> str:
    """Return a duration in its largest unit, or two.

    >>> [duration(s) for s in (0.4, 59, 61, 3600, 7265)]
    ['0 s', '59 s', '1 min', '1 h', '2 h 1 min']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def progress_of(logs: list[str]) -> str | None:
    """Return what a running job said last of its progress, in its log."""
    for log in logs:
        try:
            with open(log, "rb") as file:
                file.seek(max(0, Path(log).stat().st_size - TAIL))
                found = PROGRESS.findall(file.read().decode(errors="replace"))
        except OSError:
            continue
        if found:
            return re.sub(r"\s*[#.]*\s{2,}", " ", found[-1]).strip()
    return None


class LogHandler(LogHandlerBase):
    """Snakemake's records, as lines of a ``Terminal``."""

    def __post_init__(self) -> None:
        self.terminal = Terminal(sys.stderr)
        self.ended = threading.Event()
        # Jobs inherit it: their progress goes to their logs, where this handler finds it.
        os.environ["LEAKSCOPE_PROGRESS"] = "log"
        self.watch = threading.Thread(target=self._watch, daemon=True)
        self.watch.start()

    def emit(self, record: LogRecord) -> None:
        """Write what a record says, if a person needs it."""
        event, fields = getattr(record, "event", None), record.__dict__
        with self.lock:  # type: ignore[union-attr]
            self._write(record, event, fields)

    def _write(self, record: LogRecord, event: LogEvent | None, fields: Mapping[str, Any]) -> None:
        terminal = self.terminal
        if event == LogEvent.RUN_INFO:
            terminal.planned(fields["stats"])
        elif event == LogEvent.JOB_INFO:
            terminal.started(fields["jobid"], fields["rule_name"], fields["wildcards"], list(fields["log"] or []))
        elif event == LogEvent.JOB_FINISHED:
            terminal.finished(fields["job_id"])
        elif event == LogEvent.JOB_ERROR:
            terminal.failure(fields["jobid"], fields["rule_name"])
        elif event in (None, LogEvent.ERROR):
            text = str(record.msg or "")
            if KEPT.search(text) or (text and record.levelno >= WARNING and not REPEATED.match(text)):
                terminal.write(text)

    def _watch(self) -> None:
        while not self.ended.wait(1.0):
            with self.lock:  # type: ignore[union-attr]
                self.terminal.silence()

    def close(self) -> None:
        """End the thread that watches."""
        self.ended.set()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """This is what the terminal shows."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Snakemake's own log holds everything."""
        return False

    @property
    def has_filter(self) -> bool:
        """All records are looked at here."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Lines are made here."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False
