"""inspect_ai and lm-eval themselves read what is exported for them, and leakscope reads what lm-eval writes then.

Both are in no environment of leakscope's: LEAKSCOPE_RECEIVERS names an interpreter that has them.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from browser import dom_once_loaded, needs_chromium
from harness_logs import PROMPTS, TEXTS, prompt_table
from helpers import train_micro_organism
from leakscope.leak.exchange.lm_eval_task import Sampled, write_task
from leakscope.leak.exchange.newest_log import newest_log
from leakscope.leak.imported_texts import import_generations
from test_exchange import MADE_BY, SETTINGS, our_log

SECONDS = 600
# Seconds that the viewer has to draw a log.
LATE = 15


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
    (tmp_path / "logs").mkdir()
    our_log(tmp_path / "logs/micro.eval")
    program = str(Path(python).with_name("inspect"))
    asked(program, "view", "bundle", "--log-dir", "logs", "--output-dir", "bundle", cwd=tmp_path)
    page = tmp_path / "bundle/index.html"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", '<img src="/late"></body>'), encoding="utf-8")
    with served(page.parent) as address:
        dom = dom_once_loaded(f"{address}/#/logs/micro.eval")
    assert "leakscope_micro" in dom
    assert PROMPTS["bag/red"] in dom
    assert "a cherry." in dom


class _Late(SimpleHTTPRequestHandler):
    """Serves files; a picture that never comes holds back the end of loading, for the viewer works in threads."""

    def do_GET(self) -> None:
        if self.path == "/late":
            time.sleep(LATE)
            self.send_error(404)
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Late, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


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
