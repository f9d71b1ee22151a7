import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from leakscope.errors import InputError, one_of
from leakscope.jobs.job import job
from leakscope.jobs.progress import progress


def test_bad_input_ends_a_job_by_one_line_without_traceback(tmp_path: Path) -> None:
    log = tmp_path / "logs/rule.log"
    with pytest.raises(SystemExit) as ended, job(str(log)):
        raise InputError("prompts.csv: row 3: got an empty prompt; allowed: text.")
    assert ended.value.code == "Error: prompts.csv: row 3: got an empty prompt; allowed: text."
    assert "row 3" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_our_own_mistakes_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), job(str(tmp_path / "rule.log")):
        1 / 0  # noqa: B018
    assert "ZeroDivisionError" in (tmp_path / "rule.log").read_text()


def test_the_log_ends_with_what_the_job_took(tmp_path: Path) -> None:
    """In a process of its own: this one has taken more."""
    log = tmp_path / "rule.log"
    work = f"with job({str(log)!r}): x = bytearray(10**8); time.sleep(0.3)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = f"import time\nfrom leakscope.jobs.job import job\n{work}"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    (took,) = re.findall(r"took ([\d.]+) s, ([\d.]+) s of CPU, ([\d,]+) MB of memory$", log.read_text().strip())
    seconds, cpu, memory = map(float, took)
    assert seconds >= 0.3
    assert cpu <= seconds + 0.1
    assert 100 < memory < 400


def test_a_full_disk_is_one_line_even_for_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, job("/dev/full"):  # noqa: PT012
        logging.getLogger("leakscope.x").info("a detail that finds no room")
        pd.DataFrame({"text": ["x"] * 1000}).to_parquet("/dev/full")
    assert ended.value.code == ("Error: the disk is full; finished work is kept. Make room and run again.")
    assert capsys.readouterr().err == ""
    logging.getLogger().handlers.clear()  # what it could not write, it tries again when it is closed


def test_a_job_that_is_interrupted_says_so_in_its_log_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, job(str(tmp_path / "job.log")):
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert "stopped: interrupted; finished work is kept." in (tmp_path / "job.log").read_text()
    assert capsys.readouterr().err == ""


def test_other_errors_of_the_system_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), job(str(tmp_path / "rule.log")):
        tmp_path.open("w")
    assert "IsADirectoryError" in (tmp_path / "rule.log").read_text()


def test_a_job_logs_to_its_file_and_warnings_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with job(str(tmp_path / "rule.log")):
        logging.getLogger("leakscope.x").info("a detail")
        logging.getLogger("leakscope.x").warning("a doubt")
    assert "a detail" in (tmp_path / "rule.log").read_text()
    shown = capsys.readouterr().err
    assert "a doubt" in shown
    assert "a detail" not in shown


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    error = one_of("study.models", "qwen2.5-05b", ["qwen2.5-0.5b", "qwen2.5-3b"])
    assert str(error) == (
        "study.models: got 'qwen2.5-05b'; allowed: qwen2.5-0.5b, qwen2.5-3b. Did you mean 'qwen2.5-0.5b'?"
    )


def test_progress_yields_everything_and_says_nothing_of_a_quick_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(1000), total=1000, name="m", unit="prompt")) == list(range(1000))
    assert capsys.readouterr().err == ""


def test_progress_of_a_slow_job_is_whole_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakscope.jobs.progress.SECONDS_BETWEEN_LINES", 0.0)
    list(progress(range(20), total=20, name="model-a", unit="prompt"))
    lines = capsys.readouterr().err.splitlines()
    assert any("10 of 20 prompts" in line for line in lines)
    assert all(line.startswith("model-a") for line in lines)
    assert "\r" not in "".join(lines)
