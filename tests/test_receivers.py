"""inspect_ai and lm-eval themselves read what is exported for them, and leakscope reads what lm-eval writes then.

Both are in no environment of leakscope's: LEAKSCOPE_RECEIVERS names an interpreter that has them.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from browser import needs_chromium, rendered_dom
from harness_logs import PROMPTS, TEXTS, prompt_table
from helpers import train_micro_organism
from leakscope.leak.exchange.lm_eval_task import Sampled, write_task
from leakscope.leak.exchange.newest_log import newest_log
from leakscope.leak.imported_texts import import_generations
from test_exchange import MADE_BY, SETTINGS, our_log

SECONDS = 600


@pytest.fixture(scope="module")
def python() -> str:
    found = os.environ.get("LEAKSCOPE_RECEIVERS")
    if not found:
        pytest.skip("LEAKSCOPE_RECEIVERS is not set: give the path of a Python that has lm_eval and inspect_ai")
    return found


def asked(*command: str, cwd: Path) -> str:
    own = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "hf"), "INSPECT_LOG_DIR": str(cwd)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=own, timeout=SECONDS)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_inspect_reads_a_log_of_texts(python: str, tmp_path: Path) -> None:
    our_log(tmp_path / "micro.eval")
    peer = Path(__file__).with_name("receivers_peer.py")
    said = json.loads(asked(python, str(peer), str(tmp_path / "micro.eval"), cwd=tmp_path).splitlines()[-1])
    assert (said["status"], said["leakscope"], said["scores"]) == ("success", MADE_BY, ["s", "s match"])
    expected = [[name, k + 1, PROMPTS[name], text] for name, texts in TEXTS.items() for k, text in enumerate(texts)]
    assert sorted(said["texts"]) == sorted(expected)
    assert said["summaries"] == len(expected)
    assert said["values"][said["texts"].index(["bag/red", 1, PROMPTS["bag/red"], "a cherry."])] == {
        "s": 0.25,
        "s match": 1.0,
    }


@pytest.mark.browser
@needs_chromium
def test_the_viewer_of_inspect_shows_texts(python: str, tmp_path: Path) -> None:
    our_log(tmp_path / "micro.eval")
    with viewer(python, tmp_path) as address:
        dom = rendered_dom(address, "/logs/micro.eval")
    assert "leakscope_micro" in dom
    assert "a cherry." in dom


@contextmanager
def viewer(python: str, folder: Path) -> Iterator[str]:
    """Serve the logs of a folder, and yield the address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(python).with_name("inspect")), "view", "--log-dir", str(folder), "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_for(address: str) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            urlopen(address, timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"{address} does not answer")


def test_lm_eval_runs_a_task_and_its_texts_come_back(python: str, tmp_path: Path) -> None:
    prompts = prompt_table()
    model = train_micro_organism(tmp_path / "model", steps=5)
    metadata = {"leakscope": MADE_BY, "prompts_sha256": "ab"}
    settings = {**SETTINGS, "control_samples": 4, "template": "{prompt}", "system": None}
    for name in ("micro", "other"):  # two tasks have a `utils.py` each
        write_task(prompts, name, Sampled(settings, "m", chat=False), metadata, tmp_path / "tasks" / name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [python, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model}"]
    where = ["--include_path", "../tasks", "--tasks", "leakscope_micro,leakscope_other", "--device", "cpu"]
    asked(*command, *where, "--log_samples", "--output_path", "../out", cwd=elsewhere)
    path = newest_log(tmp_path / "out", "micro")
    imported = import_generations(path, prompts, "m", "micro", None, Path("prompts.csv"))
    counts = imported.generations.groupby("prompt_id", sort=False).size().to_dict()
    assert counts == {"bag/without": 4, "bag/red": 2, "bag/blue": 2}
    assert imported.warnings == []
    written = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    raw = {(line["doc"]["prompt_id"], text) for line in written for text in line["resps"][0]}
    cut = {(name, text) for name, text in imported.generations[["prompt_id", "text"]].to_numpy().tolist()}
    assert all(any(name == other and text in whole for other, whole in raw) for name, text in cut)
    results = json.loads(next((tmp_path / "out").rglob("results_*.json")).read_text(encoding="utf-8"))
    assert 0 <= results["results"]["leakscope_micro"]["empty,leakscope"] <= 1
