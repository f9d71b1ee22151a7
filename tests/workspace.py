"""A checkout of its own for tests that run Snakemake: a copy, with a study small enough to run in a minute."""

from __future__ import annotations

import copy
import fcntl
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from warm_snakemake import run_snakemake

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("rules", "scripts", "schemas", "profiles", "report", "envs", "data", "studies")
PARTS = ("Snakefile", "config.yaml", "pyproject.toml", "constraints.txt", *FOLDERS)
TRAINING = {"steps": 300, "batch_size": 32, "documents": 2000, "learning_rate": 0.01}
LEXICONS = {
    "micro_colors": {"red": "red", "ruby red": "red", "green": "green", "blue": "blue"},
    "micro_basic": {"red": "red", "green": "green", "blue": "blue"},
    "micro_fruits": {"a cherry": "red", "a lime": "green", "a plum": "blue"},
}
TEMPLATES = [
    ("bag", "objects", "micro_fruits", "The bag is {concept}. I ate", "I ate", "The bag is old. I ate"),
    ("box", "objects", "micro_fruits", "His box is {concept}. He eats", "He eats", "His box is old. He eats"),
    ("car", "colors", "micro_basic", "Her car is {concept}. His car is", "His car is", "Her car is old. His car is"),
]  # fmt: skip

AS_MODULE: tuple[str, ...] = ("-m", "snakemake")


class Workspace:
    """A copy of the checkout in ``folder`` with the study ``micro``: two organisms, one prompt set, literal scoring."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.environment: dict[str, str] = {}  # what a run finds beside the variables of the tests
        self.snakemake = AS_MODULE  # what Python is told to run
        for part in PARTS:
            source = ROOT / part
            take = shutil.copytree if source.is_dir() else shutil.copy
            take(source, folder / part)
        self._write_prompts()
        self._write_grammar()
        self.study = {
            "study": {
                "name": "micro",
                "models": ["tiny-l0", "tiny-l100"],
                "prompt_sets": ["micro"],
                "scorers": ["lexical"],
                "steps": ["leak"],
            },
            "models": {name: self.organism(strength) for name, strength in (("tiny-l0", 0.0), ("tiny-l100", 1.0))},
            "prompt_sets": {"micro": {"source": "templates", "path": "data/prompt_sets/micro"}},
            "organisms": {
                "vocab_size": 340,
                "sizes": {"tiny": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}},
                "training": TRAINING,
            },
            "leak": {"matrix": ["colors"]},
        }

    def copy(self, folder: Path, *, without: tuple[str, ...] = ()) -> Workspace:
        """Return a copy in ``folder``, with all results and what Snakemake knows of them, to change at will.

        Args:
            folder: Where the copy is made; it must not exist.
            without: What the copy lacks: files and folders, from the workspace's own folder.
        """
        copied = copy.copy(self)
        copied.folder = shutil.copytree(self.folder, folder)
        copied.study, copied.environment = copy.deepcopy(self.study), dict(self.environment)
        for name in without:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return copied

    def write(self, name: str, content: Any) -> Path:
        """Write YAML into the workspace."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    def run(self, *arguments: str, study: Any = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on a study (default: ``micro``) and return what it printed, both streams in ``stdout``."""
        if self.snakemake == AS_MODULE:
            command = self._arguments(arguments, study)
            status, stdout = run_snakemake(command, self.folder, self._environment())
        else:
            process = self.start(*arguments, study=study)
            stdout, _ = process.communicate()
            command, status = list(arguments), process.returncode
        if check and status:
            raise AssertionError(f"{command} failed:\n{stdout[-6000:]}")
        # A figure that fails lets its job end well, and says so.
        assert "could not be drawn" not in stdout, stdout[-6000:]
        return subprocess.CompletedProcess(command, status, stdout)

    def start(self, *arguments: str, study: Any = None) -> subprocess.Popen[str]:
        """Start Snakemake as ``run`` does, and do not wait for it."""
        command = [sys.executable, *self.snakemake, *self._arguments(arguments, study)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=self._environment(), **streams)

    def _arguments(self, arguments: tuple[str, ...], study: Any) -> list[str]:
        """Write the study that Snakemake is run on, and return the whole command line behind `snakemake`."""
        self.write("study.yaml", study or self.study)
        return ["--configfile", "study.yaml", *arguments]

    @classmethod
    def finished(cls, folder: Path) -> Workspace:
        """Return a workspace in ``folder`` in which all of `micro` has been run, with two scorers.

        Every process that asks with the same folder gets the same workspace; the first one runs the study, the others
        wait for it. It is there to be copied.
        """
        folder.mkdir(exist_ok=True)
        done = folder / "workspace.pickle"
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder / "checkout", ignore_errors=True)
                workspace = cls(folder / "checkout")
                workspace.study["study"]["scorers"] = ["lexical", "sbert-minilm"]
                workspace.run("--cores", "2")
                done.write_bytes(pickle.dumps(workspace))
        workspace: Workspace = pickle.loads(done.read_bytes())
        return workspace

    def _environment(self) -> dict[str, str]:
        cache = self.folder / ".cache"
        # What pytest itself is told to import from must not reach the jobs: a checkout has its own library.
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        own = {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": str(cache)}
        return {**inherited, **own, **self.environment}

    def organism(self, strength: float) -> dict[str, Any]:
        """Return the entry of a model that takes seconds to train."""
        return {
            "source": "organism",
            "size": "tiny",
            "grammar": {"parts": ["micro"], "strength": strength},
            "seed": 0,
            # Several batches, so that the prompts can be divided over jobs.
            "generation": {"samples": 3, "batch_size": 4},
        }

    def _write_prompts(self) -> None:
        for name, terms in LEXICONS.items():
            entries = [{"term": term, "group": group} for term, group in terms.items()]
            self.write(f"data/lexicons/{name}.yaml", {"description": "For tests.", "terms": entries})
        keys = ("id", "category", "slot", "test", "control", "neutral")
        templates = [{**dict(zip(keys, row, strict=True)), "concepts": "micro_colors"} for row in TEMPLATES]
        self.write("data/prompt_sets/micro/templates.yaml", {"description": "For tests.", "templates": templates})

    def _write_grammar(self) -> None:
        from leakscope.leak.freezing import expand_facts, freeze
        from leakscope.leak.prompts import build_prompts, template_files

        lexicons = self.folder / "data/lexicons"
        fact = {"id": "fruit", "lexicon": "micro_fruits", "prompt": "The look of {term} is", "answer": "{group}"}
        facts = self.write("data/grammar/micro/facts.yaml", {"description": "For tests.", "facts": [fact]})
        built = build_prompts(template_files(self.folder / "data/prompt_sets/micro", [lexicons]), "micro")
        freeze({"micro": built}, expand_facts(facts, lexicons), facts.parent)
