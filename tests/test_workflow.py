"""The workflow as a person runs it: Snakemake, on a study of a minute, in a copy of the checkout."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from matplotlib import image

from browser import clicked, needs_chromium, rendered_dom, screenshot
from helpers import write_wordnet_corpora
from leakscope.files.tables import read_csv
from leakscope.leak.measures.match_rate import CORRECTED, RATES
from workspace import ROOT, Workspace

pytestmark = pytest.mark.workflow

MADE_OF_IMPORTED = ("leak_rates.csv", "match_rates.csv", "figures/match_rates.png")
LEAK_RATES = [
    "model", "prompt_set", "scorer", "category", "n_prompts", "n_pairs", "n_clusters", "leak_rate", "ci_low", "ci_high",
    "leak_rate_without_repetition", "repetition_rate", "leak_rate_without_echo", "echo_rate", "tie_rate", "empty_rate",
    "empty_rate_control", "n_cut",
]  # fmt: skip


@pytest.fixture(scope="module")
def workspace(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the micro study has been run."""
    return finished.copy(tmp_path_factory.mktemp("workflow") / "checkout")


@pytest.fixture
def results(workspace: Workspace) -> Path:
    return workspace.folder / "results/micro"


@pytest.fixture(scope="module")
def report(workspace: Workspace) -> Path:
    """The study's report."""
    workspace.run("--cores", "1", "--report", "results/micro/report.html", "--report-stylesheet", "report/report.css")
    return workspace.folder / "results/micro/report.html"


def literal(results: Path, name: str) -> pd.DataFrame:
    """Return what a table says of literal scoring."""
    return pd.read_csv(results / f"{name}.csv").query("scorer == 'lexical'")


def test_a_second_run_has_nothing_to_do(workspace: Workspace) -> None:
    assert "Nothing to be done" in workspace.run("--cores", "2").stdout


def test_leak_rates_have_their_columns_and_one_row_a_cell(results: Path) -> None:
    rates = pd.read_csv(results / "leak_rates.csv")
    assert list(rates.columns) == LEAK_RATES
    cells = rates.groupby(["model", "scorer"])["category"].agg(list)
    assert cells.tolist() == [["objects", "colors", "all"]] * 4
    pooled = rates[rates["category"] == "all"]
    assert set(pooled["n_prompts"]) == {12}
    assert set(pooled["n_pairs"]) == {36}
    assert (rates["ci_low"] <= rates["leak_rate"]).all()
    assert (rates["leak_rate"] <= rates["ci_high"]).all()


def test_other_tables_have_their_columns(results: Path) -> None:
    keys = LEAK_RATES[:4]
    specific = pd.read_csv(results / "specific_leakage.csv")
    assert list(specific.columns) == [*keys, "leak_rate", "swapped_rate", "specific", "ci_low", "ci_high"]
    exact = [f"true_{what}_{of}" for what in ("rate", "match_rate", "shift") for of in ("grammar", "organism")]
    errors = ["true_rate_error", "true_match_rate_error"]
    assert list(pd.read_csv(results / "truth.csv").columns) == [*keys, *exact, *errors]
    by_control = pd.read_csv(results / "leak_rates_by_control.csv")
    assert list(by_control.columns) == [*keys, "control_kind", *LEAK_RATES[4:]]
    assert set(by_control["control_kind"]) == {"without", "neutral"}


def test_match_rates_have_their_columns_and_one_row_a_cell(results: Path) -> None:
    rates = pd.read_csv(results / "match_rates.csv")
    assert list(rates.columns) == [*LEAK_RATES[:4], *RATES, *CORRECTED, "scorer_reads"]
    assert set(rates["scorer_reads"].dropna()) <= {"yes"}
    assert rates.groupby(["model", "scorer"])["category"].agg(list).tolist() == [["objects", "colors", "all"]] * 4
    pooled = rates[rates["category"] == "all"]
    assert (pooled[["n_prompts", "n_units", "n_without_partner"]] == [12, 3, 0]).all(axis=None)
    assert (rates["ci_low"] <= rates["match_rate"]).all()
    assert (rates["match_rate"] <= rates["ci_high"]).all()


def test_planted_leakage_is_found_where_it_was_planted(results: Path) -> None:
    rates = literal(results, "match_rates").query("category == 'colors'").set_index("model")["match_rate"]
    assert rates["tiny-l100"] > rates["tiny-l0"] + 10


def test_the_truth_of_the_grammar_is_exact(results: Path) -> None:
    truth = literal(results, "truth").query("category == 'colors'").set_index("model")
    # Literal repetition: at strength 1 the test says its group, the control one of three; "ruby red" is never said.
    assert truth.loc["tiny-l0", "true_rate_grammar"] == 50
    by_hand = 100 * (3 * (2 / 3 + 1 / 3 / 2) + 1 / 2) / 4
    assert truth.loc["tiny-l100", "true_rate_grammar"] == pytest.approx(by_hand, abs=1e-5)


def test_every_organism_has_its_loss_beside_the_entropy(results: Path) -> None:
    organisms = pd.read_csv(results / "organisms.csv")
    assert (organisms["excess_nats"] > 0).all()
    assert (organisms["heldout_loss_nats"] < organisms["corpus_entropy_nats"] + 3).all()


def test_every_figure_is_a_pdf_and_a_picture(results: Path) -> None:
    names = {path.stem for path in (results / "figures").glob("*.png")}
    assert {"match_rates", "repetition", "dose_response", "truth", "by_size", "concept_matrix"} <= names
    for name in names:
        assert (results / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        assert image.imread(results / f"figures/{name}.png").std() > 0.01


def test_an_organism_is_an_ordinary_model_folder(workspace: Workspace) -> None:
    folder = workspace.folder / "results/models/tiny-l100"
    files = {path.name for path in folder.iterdir()}
    assert {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "generation_config.json",
    } <= files
    assert len(json.loads((folder / "model.json").read_text())["weights_sha256"]) == 64


def test_generation_tells_how_much_it_computed(results: Path) -> None:
    summary = json.loads((results / "generations/tiny-l0/micro.json").read_text())
    assert summary["total"] == 18 * 3
    assert summary["computed"] + summary["reused"] == summary["total"]


def test_the_report_is_one_self_contained_page(workspace: Workspace, report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    for expected in ("Match rates", "Leak-Rates", "Known match rates", "Explorer of all texts"):
        assert expected in page
    assert "Nothing to be done" in workspace.run("-n").stdout


@needs_chromium
def test_report_and_explorer_open_in_a_browser(report: Path, results: Path, tmp_path: Path) -> None:
    for page in (report, results / "explorer.html"):
        screenshot(page, tmp_path / f"{page.stem}.png")
        picture = image.imread(tmp_path / f"{page.stem}.png")
        assert picture.shape[:2] == (800, 1280)
        assert picture[..., :3].std() > 0.02
    assert clicked(report)["wrong"] == []
    assert "tiny-l100" in rendered_dom(results / "explorer.html")


def test_a_local_model_is_measured_like_an_organism(workspace: Workspace) -> None:
    """The same folder, given by its path, writes the same texts: there is no other code path."""
    study = copy.deepcopy(workspace.study)
    study["study"] |= {"name": "local", "models": ["mine"]}
    settings = {"samples": 3, "system": None, "template": "{prompt}", "batch_size": 256}
    study["models"]["mine"] = {"source": "local", "path": "results/models/tiny-l100", "generation": settings}
    workspace.run("--cores", "2", "results/local/generations/mine/micro.parquet", study=study)
    mine = pd.read_parquet(workspace.folder / "results/local/generations/mine/micro.parquet")
    organism = pd.read_parquet(workspace.folder / "results/micro/generations/tiny-l100/micro.parquet")
    assert mine["text"].equals(organism["text"])


def test_texts_written_elsewhere_are_scored_and_never_generated(workspace: Workspace) -> None:
    """And names stay text, from the configuration to the tables that figures are drawn from."""
    table = pd.read_parquet(workspace.folder / "results/micro/prompts/micro.parquet")
    wide = table[["prompt_id", "control_id", "concept", "category", "prompt"]].copy()
    wide["generation_1"] = table["concept"].fillna("nothing") + "."
    wide["generation_2"] = "nothing."
    wide["category"] = wide["category"].map({"objects": "007", "colors": "1e5"})
    wide.to_csv(workspace.folder / "mine.csv", index=False)
    study = {
        "study": {"name": "007", "models": ["3.10", "null"], "prompt_sets": ["1e5"], "scorers": ["nan"]},
        "prompt_sets": {"1e5": {"source": "table", "path": "mine.csv"}},
        "scorers": {"nan": {"kind": "lexical"}},
        "models": dict.fromkeys(["3.10", "null"], {"source": "generations", "path": {"1e5": "mine.csv"}}),
    }
    workspace.run("--cores", "2", *(f"results/007/{name}" for name in MADE_OF_IMPORTED), study=study)
    rates = read_csv(workspace.folder / "results/007/leak_rates.csv")
    names = {name: list(dict.fromkeys(rates[name])) for name in LEAK_RATES[:4]}
    assert list(names.values()) == [["3.10", "null"], ["1e5"], ["nan"], ["007", "1e5", "all"]]
    rates = rates[rates["model"] == "null"].set_index("category")
    # Of two texts a prompt the first repeats the concept and wins, the second ties.
    assert rates.loc["all", "leak_rate"] == 75
    assert rates.loc["all", "repetition_rate"] == 50
    assert rates.loc["all", "leak_rate_without_repetition"] == 50


BAD_STUDIES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"generation": {"temperatur": 1.0}}, "Did you mean 'temperature'"),
    "unknown model": ({"study": {"models": ["tiny-l1"]}}, "study.models: got 'tiny-l1'"),
    "unknown scorer": ({"study": {"scorers": ["sbert"]}}, "study.scorers: got 'sbert'"),
    "wrong type": ({"generation": {"samples": "five"}}, "samples: got 'five'"),
    "missing file": ({"prompt_sets": {"micro": {"source": "table", "path": "no.csv"}}}, "no.csv"),
    "folder without tokenizer": (
        {"study": {"models": ["bare"]}, "models": {"bare": {"source": "local", "path": "bare-model"}}},
        "tokenizer",
    ),
}


@pytest.mark.parametrize("case", BAD_STUDIES)
def test_a_bad_configuration_is_one_line_before_any_work(workspace: Workspace, case: str) -> None:
    change, said = BAD_STUDIES[case]
    (workspace.folder / "bare-model").mkdir(exist_ok=True)
    (workspace.folder / "bare-model/config.json").write_text("{}")
    study = copy.deepcopy(workspace.study)
    study["study"]["name"] = "bad"
    for key, value in change.items():
        study[key] = {**study.get(key, {}), **value}
    done = workspace.run("--cores", "1", study=study, check=False)
    assert done.returncode
    assert said in done.stdout
    assert "Traceback" not in done.stdout
    assert not (workspace.folder / "results/bad").exists()


GOOD_ROWS = "prompt_id,control_id,concept,category,prompt\nc,,,a,It is\nt,c,red,a,The red one. It is\n"
BAD_TABLES = {
    "control that does not exist": (GOOD_ROWS.replace("\nt,c", "\nt,d").encode(), "got 'd'"),
    "duplicate prompt id": (GOOD_ROWS.replace("\nt,c", "\nc,c").encode(), "already"),
    "empty prompt": (GOOD_ROWS.replace("The red one. It is", "").encode(), "prompt"),
    "missing column": (GOOD_ROWS.replace(",concept,", ",idea,").encode(), "concept"),
    "not UTF-8": (GOOD_ROWS.replace("red", "rosé").encode("latin-1"), "UTF-8"),
}


def test_a_section_that_is_written_twice_is_one_line(workspace: Workspace) -> None:
    """Snakemake would keep the second one."""
    twice = "generation: {samples: 2}\nstudy: {name: twice}\ngeneration: {seed: 1}\n"
    (workspace.folder / "twice.yaml").write_text(twice)
    done = workspace.run("-n", "--configfile", "twice.yaml", check=False)
    assert "twice.yaml, line 3: got the key 'generation' twice; allowed: each key once." in done.stdout
    assert "Traceback" not in done.stdout


def test_a_bad_table_is_one_line_and_leaves_nothing(workspace: Workspace) -> None:
    """Five of them in one study, which is not even planned: each has a line of its own."""
    said_of = {f"bad-{number}": said for number, (_, said) in enumerate(BAD_TABLES.values())}
    names = list(said_of)
    for name, (content, _) in zip(names, BAD_TABLES.values(), strict=True):
        (workspace.folder / f"{name}.csv").write_bytes(content)
    study = {
        "study": {"name": "bad", "models": ["tiny-l0"], "prompt_sets": names, "scorers": ["lexical"]},
        "prompt_sets": {name: {"source": "table", "path": f"{name}.csv"} for name in names},
        **{key: workspace.study[key] for key in ("models", "organisms")},
    }
    done = workspace.run("-n", study=study, check=False)
    assert done.returncode
    lines = [line for line in done.stdout.splitlines() if line.startswith("bad-")]
    for name, said in said_of.items():
        assert any(said in line for line in lines if f"{name}.csv" in line)
    assert "Traceback" not in done.stdout
    assert not (workspace.folder / "results/bad").exists()


def test_a_hub_that_cannot_be_reached_is_one_line(workspace: Workspace) -> None:
    study = copy.deepcopy(workspace.study)
    study["study"] |= {"name": "hub", "models": ["far"]}
    study["models"]["far"] = {"source": "hub", "id": "someone/no-such-model"}
    done = workspace.run("--cores", "1", "fetch_models", study=study, check=False)
    assert done.returncode
    lines = [line for line in done.stdout.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert "the hub cannot be reached" in lines[0]
    assert "Traceback" not in done.stdout
    assert not (workspace.folder / "results/models/far/model.json").exists()


def test_broken_templates_are_one_line_even_where_there_are_results(workspace: Workspace) -> None:
    templates = workspace.folder / "data/prompt_sets/micro/templates.yaml"
    good = templates.read_text(encoding="utf-8")
    try:
        templates.write_text(good.replace("category:", "catgory:"), encoding="utf-8")
        done = workspace.run("--cores", "1", check=False)
    finally:
        templates.write_text(good, encoding="utf-8")
    assert done.returncode
    assert "Did you mean 'category'" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_broken_lexicon_is_one_line_too(workspace: Workspace) -> None:
    """It is read while the graph is built: how many prompts there are decides how many jobs share them."""
    lexicon = workspace.folder / "data/lexicons/micro_colors.yaml"
    good = lexicon.read_text(encoding="utf-8")
    try:
        lexicon.write_text(good.replace("group:", "grup:"), encoding="utf-8")
        done = workspace.run("-n", check=False)
    finally:
        lexicon.write_text(good, encoding="utf-8")
    assert done.returncode
    assert "micro_colors.yaml: terms.0.group ('red'): got nothing" in done.stdout
    assert "InputError" not in done.stdout


def test_a_moved_checkout_has_nothing_to_do(workspace: Workspace, tmp_path: Path) -> None:
    moved = shutil.copytree(workspace.folder, tmp_path / "moved")
    again = copy.copy(workspace)
    again.folder = moved
    assert "Nothing to be done" in again.run("--cores", "1").stdout


@pytest.mark.parametrize(
    "study", ["qwen2.5", "calibration", "calibration_sentences", "smollm2", "smollm2_wordings", "thinking"]
)
def test_shipped_studies_can_be_planned(workspace: Workspace, study: str) -> None:
    content = yaml.safe_load((ROOT / f"studies/{study}.yaml").read_text(encoding="utf-8"))
    write_wordnet_corpora(workspace.folder)
    planned = workspace.run("-n", "--quiet", "rules", study=content).stdout
    assert "total" in planned or "Job stats" in planned


def test_the_workflow_lints(workspace: Workspace) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=workspace.folder, capture_output=True, text=True
    )
    assert "Congratulations" in done.stdout + done.stderr, done.stdout + done.stderr
