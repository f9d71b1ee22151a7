"""``make run`` hands what a person gives to Snakemake as it is, whatever it holds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers import TOKENIZER_JSON

# Writes down what it was called with.
STAND_IN = f"""#!{sys.executable}
import json, os, sys
with open("calls.jsonl", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""
STUDY = "study: {name: mine}\n"
PROMPTS = "prompt,n_control,concept\nI ate,,\nI ate a plum. I ate,0,a plum\n"
QUIET = ("--logger", "leakscope")
STYLED = ("--report-stylesheet", "report/report.css")


@pytest.fixture
def checkout(tmp_path: Path, root: Path) -> Path:
    """A checkout whose Snakemake is a stand-in and whose environment is there."""
    tmp_path /= "checkout"
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / "config.yaml").write_text("study: {name: first}\n")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    for name, program in (("snakemake", STAND_IN), ("python", python)):
        (tmp_path / ".venv/bin" / name).write_text(program)
        (tmp_path / ".venv/bin" / name).chmod(0o755)
    for name in ("python", "installed"):  # in this order: what is newer is not made again
        (tmp_path / ".venv" / name).touch()
    return tmp_path


def make_run(checkout: Path, *given: str, what: str = "run") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", what, *given], cwd=checkout, capture_output=True, text=True, timeout=60)


def calls(checkout: Path) -> list[list[str]]:
    path = checkout / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


NAMES = [
    "two  spaces.yaml",
    "a;touch hurt;.yaml",
    "$(touch hurt).yaml",
    "$(shell touch hurt).yaml",
    "`touch hurt` $HOME.yaml",
    'it\'s "x" (#.yaml',
    "-x.yaml",
    "back\\slash*.yaml",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_given_to_snakemake_as_it_is_called(checkout: Path, name: str) -> None:
    (checkout / name).write_text(STUDY)
    done = make_run(checkout, f"STUDY={name}")
    assert done.returncode == 0, done.stderr
    assert calls(checkout) == [
        [*QUIET, "--cores=all", f"--configfile={name}"],
        ["--cores", "1", "--quiet", "all", f"--configfile={name}", "--report", "results/mine/report.html", *STYLED],
    ]
    assert not (checkout / "hurt").exists()
    assert "Open results/mine/index.html in a browser." in done.stdout


@pytest.fixture
def with_catalogues(checkout: Path, root: Path) -> Path:
    """The checkout, with models and prompt sets to name."""
    shutil.copy(root / "config.yaml", checkout)
    (checkout / "data").symlink_to(root / "data")
    return checkout


@pytest.mark.parametrize("name", [name.replace(".yaml", ".csv") for name in NAMES if "$HOME" not in name])
def test_prompts_are_given_to_the_study_that_is_written_as_they_are_called(with_catalogues: Path, name: str) -> None:
    checkout = with_catalogues
    (checkout / name).write_text(PROMPTS)
    done = make_run(checkout, "MODEL=qwen2.5-0.5b", f"PROMPTS={name}")
    assert done.returncode == 0, done.stderr
    study = next((checkout / "results").glob("qwen2.5-0.5b.*/study.yaml")).relative_to(checkout)
    (entry,) = yaml.safe_load((checkout / study).read_text())["prompt_sets"].values()
    assert entry == {"source": "table", "path": name}
    report = str(study.with_name("report.html"))
    assert calls(checkout) == [
        [*QUIET, "--cores=all", f"--configfile={study}"],
        ["--cores", "1", "--quiet", "all", f"--configfile={study}", "--report", report, *STYLED],
    ]
    assert not (checkout / "hurt").exists()
    assert f"Open {study.with_name('index.html')} in a browser." in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_given_to_the_study_as_it_is_called(with_catalogues: Path, name: str) -> None:
    checkout, folder = with_catalogues, name.removesuffix(".yaml")
    (checkout / folder).mkdir()
    (checkout / folder / "config.json").write_text("{}")
    (checkout / folder / "tokenizer.json").write_text(TOKENIZER_JSON)
    done = make_run(checkout, f"MODEL={folder}", "NAME=mine")
    if "$HOME" in name:  # in paths of a study the value of a variable stands for its name
        assert f"MODEL={folder}: got nothing of that name; allowed: " in done.stderr
    else:
        study = yaml.safe_load((checkout / "results/mine/study.yaml").read_text())
        assert [entry["path"] for entry in study["models"].values()] == [folder]
    assert not (checkout / "hurt").exists()


def test_what_cannot_be_used_is_said_before_snakemake_starts(with_catalogues: Path) -> None:
    (with_catalogues / "my.csv").write_text("prompt\nHello\n")
    for given, said in (
        (["PROMPTS=my.csv"], "my.csv: got the columns prompt; allowed: a table that has prompt_id, "),
        (["MODEL=$(touch hurt)"], "MODEL=$(touch hurt): got nothing of that name; allowed: "),
        (["MODEL=qwen2.5-0.5b", "NAME=a b"], "config: study.name: got 'a b'; allowed: a name of "),
    ):
        done = make_run(with_catalogues, *given)
        assert done.returncode != 0
        assert [line for line in done.stderr.splitlines() if not line.startswith("make")][0].startswith(said)
        assert len(done.stderr.splitlines()) == 2  # and make's own
    assert calls(with_catalogues) == []
    assert not (with_catalogues / "hurt").exists()


def test_a_model_of_the_environment_is_none_of_this_run(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL", "PROMPTS", "NAME"):
        monkeypatch.setenv(name, "$(shell touch hurt)")
    assert make_run(checkout).returncode == 0
    assert calls(checkout)[0] == [*QUIET, "--cores=all"]
    assert not (checkout / "hurt").exists()


def test_without_a_study_the_default_one_runs_on_all_cores(checkout: Path) -> None:
    assert make_run(checkout).returncode == 0
    report = ["--cores", "1", "--quiet", "all", "--report", "results/first/report.html", *STYLED]
    assert calls(checkout) == [[*QUIET, "--cores=all"], report]


def test_results_may_be_elsewhere(checkout: Path) -> None:
    (checkout / "studies").mkdir()
    (checkout / "studies/x.yaml").write_text(STUDY)
    elsewhere = "$(touch hurt) a folder"
    done = make_run(checkout, f"DIRECTORY={elsewhere}", "STUDY=studies/x.yaml")
    assert done.returncode == 0, done.stderr
    study, directory = "--configfile=studies/x.yaml", f"--directory={elsewhere}"
    style = ("--report-stylesheet", str(checkout / "report/report.css"))
    report = ["--cores", "1", "--quiet", "all", study, directory, "--report", "results/mine/report.html", *style]
    assert calls(checkout) == [[*QUIET, "--cores=all", study, directory], report]
    assert f"Open {elsewhere}/results/mine/index.html in a browser." in done.stdout
    assert not (checkout / "hurt").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_is_made_anew_of_the_study_as_it_is_called(checkout: Path, name: str) -> None:
    (checkout / name).write_text(STUDY)
    planned = ["--quiet", "all", "--cores", "1", "plan", "--forcerun=plan"]
    done = make_run(checkout, f"STUDY={name}", what="plan")
    assert done.returncode == 0, done.stderr
    assert "All numbers: results/mine/plan.csv" in done.stdout
    elsewhere = "$(touch hurt) a folder"
    assert f"{elsewhere}/results/first/plan.csv" in make_run(checkout, f"DIRECTORY={elsewhere}", what="plan").stdout
    assert calls(checkout) == [[*planned, f"--configfile={name}"], [*planned, f"--directory={elsewhere}"]]
    assert not (checkout / "hurt").exists()


def test_a_plan_is_made_of_a_model_and_prompts(with_catalogues: Path) -> None:
    done = make_run(with_catalogues, "MODEL=qwen2.5-0.5b", "NAME=mine", what="plan")
    assert done.returncode == 0, done.stderr
    assert calls(with_catalogues)[0][-1] == "--configfile=results/mine/study.yaml"
    assert "STUDY=no.yaml: no such file" in make_run(with_catalogues, "STUDY=no.yaml", what="plan").stderr


@pytest.mark.parametrize("name", NAMES[:3])
def test_the_page_for_raters_is_made_of_the_study_as_it_is_called(checkout: Path, name: str) -> None:
    (checkout / name).write_text(STUDY)
    done = make_run(checkout, f"STUDY={name}", "CORES=3", what="rate")
    assert done.returncode == 0, done.stderr
    assert "Open results/mine/rating/rate.html in a browser" in done.stdout
    assert calls(checkout) == [[*QUIET, "--cores=3", "rate", f"--configfile={name}"]]
    assert not (checkout / "hurt").exists()


def test_a_card_is_that_of_a_model_of_the_catalogue_or_of_a_file(with_catalogues: Path) -> None:
    checkout = with_catalogues
    server = {"source": "endpoint", "base_url": "http://localhost:1/v1", "model": "a/b"}
    (checkout / "a b.yaml").write_text(json.dumps({"models": {"mine": server}}))
    for given, name in ((["MODEL=package:smollm2-135m"], "smollm2-135m"), (["MODEL=mine", "STUDY=a b.yaml"], "mine")):
        done = make_run(checkout, *given, what="card")
        assert done.returncode == 0, done.stderr
        assert calls(checkout)[-1] == [*QUIET, "--cores=all", "card", f"--configfile=results/{name}.card/study.yaml"]
    done = make_run(checkout, "A=results/$HOME", what="compare")
    assert done.stderr.startswith("A=results/$HOME: got nothing of that name; allowed: results/<study>, a pack")
    assert done.returncode != 0


def test_a_study_of_the_environment_is_no_program_either(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY", "$(shell touch hurt)")
    assert "STUDY=$(shell touch hurt): no such file\n" in make_run(checkout).stderr
    assert not (checkout / "hurt").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("STUDY=not there.yaml", "STUDY=not there.yaml: no such file\n"),
        ("STUDY=a.yaml b.yaml", "STUDY=a.yaml b.yaml: no such file\n"),
        ("PROMPTS=$(touch hurt).xlsx", "PROMPTS=$(touch hurt).xlsx: no such file\n"),
        ("NAME=mine", "NAME=mine: got neither MODEL= nor PROMPTS=; allowed: NAME= with one of them or both\n"),
        ("PROFILE=$(touch hurt)", "PROFILE=$(touch hurt): no such profile\n"),
    ],
)
def test_what_is_not_there_is_said_before_anything_starts(checkout: Path, given: str, said: str) -> None:
    done = make_run(checkout, given)
    assert done.returncode != 0
    assert said in done.stderr
    assert calls(checkout) == []
    assert not (checkout / "hurt").exists()


@pytest.mark.parametrize("other", ["MODEL=m", "PROMPTS=colors", "NAME=mine"])
def test_a_study_names_its_models_and_prompts_itself(checkout: Path, other: str) -> None:
    (checkout / "mine.yaml").write_text(STUDY)
    done = make_run(checkout, "STUDY=mine.yaml", other)
    assert done.returncode != 0
    allowed = "STUDY= alone, whose file names models and prompts, or the others without it"
    assert f"STUDY=mine.yaml: got MODEL=, PROMPTS= or NAME=, too; allowed: {allowed}\n" in done.stderr
    assert calls(checkout) == []


def test_a_profile_and_cores_are_given_as_they_are(checkout: Path) -> None:
    profile = checkout / "my profile"
    profile.mkdir()
    (profile / "profile.v9+.yaml").touch()
    make_run(checkout, "PROFILE=my profile")
    make_run(checkout, "CORES=2; touch hurt")
    assert calls(checkout)[0] == [*QUIET, "--workflow-profile=my profile"]
    assert calls(checkout)[2] == [*QUIET, "--cores=2; touch hurt"]
    assert not (checkout / "hurt").exists()


def test_a_python_whose_path_holds_a_space_makes_the_environment(checkout: Path) -> None:
    python = checkout / "my python"
    python.write_text('#!/bin/sh\necho "$1" >>calls.txt\nmkdir -p .venv/bin\n')
    python.chmod(0o755)
    shutil.rmtree(checkout / ".venv")
    subprocess.run(["make", ".venv/python", f"PYTHON={python}"], cwd=checkout, check=True, capture_output=True)
    assert (checkout / "calls.txt").read_text() == "-c\n-m\n"


def test_a_study_that_expands_without_end_is_refused_before_snakemake_reads_it(checkout: Path) -> None:
    laughs = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    (checkout / "laughs.yaml").write_text(f"a0: &a0 [x]\n{laughs}")
    done = make_run(checkout, "STUDY=laughs.yaml")
    assert "laughs.yaml, line 7: got more than 1,000,000 values, including those of aliases" in done.stderr
    assert calls(checkout) == []


def test_the_makefile_starts_scripts_that_are_there(root: Path) -> None:
    scripts = re.findall(r"scripts/[\w/]+\.py", (root / "Makefile").read_text(encoding="utf-8"))
    assert len(scripts) >= 2
    assert [script for script in scripts if not (root / script).is_file()] == []


def make(checkout: Path, *given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *given], cwd=checkout, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["$(touch hurt) a folder", "it's `touch hurt`", "-x"])
def test_results_are_packed_and_unpacked_wherever_they_are(checkout: Path, name: str) -> None:
    (checkout / "mine.yaml").write_text(STUDY)
    (checkout / name / "results/mine").mkdir(parents=True)
    (checkout / name / "results/mine/a.csv").write_text("1")
    done = make(checkout, "pack", "STUDY=mine.yaml", f"DIRECTORY={name}", "WITH=models store")
    assert done.returncode == 0, done.stderr
    assert f"{name}/results/mine.zip: 2 files" in done.stdout
    done = make(checkout, "unpack", f"PACK={name}/results/mine.zip", f"DIRECTORY={name} too")
    assert f"{name} too/results/mine: 2 files." in done.stdout.splitlines()
    assert (checkout / f"{name} too/results/mine/study.yaml").read_text() == STUDY
    assert not (checkout / "hurt").exists()
    assert calls(checkout) == []


def test_what_cannot_be_packed_or_unpacked_is_one_line(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACK", "of the environment.zip")
    (checkout / "no.zip").write_text("no zip")
    for given, said in (
        (["pack"], "results/first: got no results; allowed: "),
        (["pack", "WITH=weights"], "WITH: got 'weights'; allowed: models, store."),
        (["unpack"], "PACK=: got nothing; allowed: "),
        (["unpack", "PACK=none.zip"], "PACK=none.zip: no such file"),
        (["unpack", "PACK=no.zip"], f"{checkout}/no.zip: got File is not a zip file; allowed: "),
    ):
        done = make(checkout, *given)
        assert done.returncode != 0
        assert [line for line in done.stderr.splitlines() if not line.startswith("make")][0].startswith(said)
        assert len(done.stderr.splitlines()) == 2  # and make's own


# Fails once, and notes what a run notes whose models fail.
FAILING = """
results = os.path.join(sys.argv[-1].partition("=")[2] if "--directory" in sys.argv[-1] else ".", "results/mine")
if not os.path.exists("failed"):
    open("failed", "w").close()
    os.makedirs(results, exist_ok=True)
    if NOTED:
        json.dump({"models": {"b": "is made from a", "a": "broken."}}, open(results + "/failures.json", "w"))
        json.dump({"without": ["a", "b"]}, open(results + "/without.json", "w"))
    sys.exit(1)
"""


def fail_once(checkout: Path, *, noted: bool) -> None:
    stand_in = STAND_IN + FAILING.replace("NOTED", str(noted))
    (checkout / ".venv/bin/snakemake").write_text(stand_in)


@pytest.mark.parametrize("directory", ["", "else where"])
def test_where_models_fail_a_second_pass_does_without_them_and_the_command_fails(
    checkout: Path, directory: str
) -> None:
    fail_once(checkout, noted=True)
    (checkout / "my study.yaml").write_text(STUDY)
    done = make_run(checkout, "STUDY=my study.yaml", *([f"DIRECTORY={directory}"] if directory else []))
    assert done.returncode != 0
    results = f"{directory}/results/mine" if directory else "results/mine"
    first, second, report = calls(checkout)
    where = [f"--directory={directory}"] if directory else []
    assert first == [*QUIET, "--cores=all", "--configfile=my study.yaml", *where]
    config = ["--configfile", "my study.yaml", f"{results}/without.json"]
    assert second == [*QUIET, "--cores=all", *config, *where]
    assert report[4:7] == config
    assert "Without these models:\n  a: broken.\n  b: is made from a\n" in done.stderr
    assert f"Open {results}/index.html" in done.stdout


def test_where_something_else_fails_there_is_no_second_pass_whatever_an_earlier_run_left(checkout: Path) -> None:
    fail_once(checkout, noted=False)
    (checkout / "results/first").mkdir(parents=True)
    for name in ("failures.json", "without.json"):
        (checkout / "results/first" / name).write_text('{"models": {"a": "x"}, "without": ["a"]}')
    done = make_run(checkout)
    assert done.returncode != 0
    assert calls(checkout) == [[*QUIET, "--cores=all"]]
    assert "Open" not in done.stdout
