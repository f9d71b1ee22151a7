"""Snakemake's report of every shipped study opens, whatever a reader clicks on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from browser import clicked, needs_chromium
from helpers import write_wordnet_corpora
from leakscope.figures.style import PNG_HEIGHT
from workspace import PARTS, ROOT

OTHERS = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))
PUBLISHED = "LEAKSCOPE_PUBLISHED"
TABLE = pd.DataFrame(
    {
        "prompt": ["I ate", "Red. I ate"],
        "n_control": ["", 0],
        "concept": ["", "red"],
        "generation_1": ["a pear", "a fig"],
    }
)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without results."""
    folder = tmp_path_factory.mktemp("reports")
    for part in PARTS:
        take = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        take(ROOT / part, folder / part)
    # As high as a figure may be, and so narrow that it is shown as it is.
    image.imsave(folder / "stand_in.png", np.ones((PNG_HEIGHT, 500, 3)))
    (folder / "stand_in.csv").write_text("model,leak_rate\nfirst,50.0\n")
    write_wordnet_corpora(folder)
    (folder / "stand_in.html").write_text("<!doctype html><title>A page</title><p>Read me.")
    return folder


def write_report(checkout: Path, study: str) -> Path:
    """Write the report that a study would have, from stand-ins for its results."""
    report = checkout / f"{Path(study).stem}.html"
    published = give_published(checkout / study, checkout / "published")
    command = [sys.executable, Path(__file__).with_name("stand_in_report.py"), checkout, "--configfile", study]
    done = subprocess.run(
        [*command, "--cores", "1", "--report", report, "--report-stylesheet", ROOT / "report/report.css"],
        cwd=checkout,
        env=os.environ | {PUBLISHED: str(published), "PYTHONPATH": str(checkout / "scripts"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return report


def give_published(study: Path, folder: Path) -> Path:
    """Write something for everything that a study reads of the published data."""
    for name in re.findall(rf"\${PUBLISHED}/([^\s,}}\"']+)", study.read_text(encoding="utf-8")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".xlsx"):
            # Looked at before anything is planned.
            TABLE.to_excel(folder / name, index=False)
        else:
            (folder / name).write_text("name,as\nfirst,second\n")
    return folder


@pytest.mark.workflow
@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("study", ["default", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_every_section_and_entry_of_a_report_opens(checkout: Path, study: str) -> None:
    outcome = clicked(write_report(checkout, "config.yaml" if study == "default" else f"studies/{study}.yaml"))
    assert outcome["wrong"] == []
    names = [name for section in outcome["opened"].values() for name in section]
    assert names
    assert len(set(names)) == len(names), "a search lists all sections at once, and an entry of the same name once"


def test_only_one_function_names_the_entries_of_a_report(root: Path) -> None:
    """Another label beside the name, of two values, would be made a switch, and blank the page where one is lacking."""
    calls = {path.name: path.read_text(encoding="utf-8").count("report(") for path in (root / "rules").rglob("*.smk")}
    assert {name: n for name, n in calls.items() if n} == {"common.smk": 1}
