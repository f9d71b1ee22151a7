"""The workflow runs from any folder and as a module of another workflow, and leaves its checkout as it is.

Checkout and working directories have spaces in their paths. The checkout is read-only; since root may write anyway, a
listing of it is compared as well.
"""

from __future__ import annotations

import copy
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import yaml

from warm_snakemake import run_snakemake
from workspace import Workspace

pytestmark = pytest.mark.workflow

STUDY = {
    "study": {"name": "mine", "models": ["theirs"], "prompt_sets": ["brought"], "scorers": ["lexical"]},
    "models": {"theirs": {"source": "generations", "path": "data/texts.csv"}},
    "prompt_sets": {"brought": {"source": "table", "path": "data/prompts.csv", "samples": 1}},
}
PROMPTS = """prompt_id,prompt,control_id,concept
a,The bag is old. I ate,,
b,The bag is red. I ate,a,red
c,The bag is green. I ate,a,green
"""
# The first test prompt's text repeats its concept and wins; the second one's ties with that of the control.
TEXTS = """prompt_id,sample,text
a,0,a pear.
b,0,a red cherry.
c,0,a pear.
"""
CALLER = """
configfile: "study.yaml"

rule everything:
    input:
        "lines.txt",
        "{results}/explorer.html",

module leakscope:
    snakefile: "{checkout}/Snakefile"
    config: {config}
    {prefix}

use rule * from leakscope as leakscope_*

rule count_lines:
    input: "{results}/leak_rates.csv"
    output: "lines.txt"
    message: "count_lines: How many lines has the table?"
    shell: "wc -l < {{input:q}} > {{output}}"
"""


class Way(NamedTuple):
    """A way to run the study: what Snakemake is told, from where, which results there are and what rules are called."""

    arguments: list[str]
    started_in: Path
    folder: Path
    targets: list[str]
    results: Path
    rule: str


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("read only") / "a check out")


@pytest.fixture(scope="module")
def checkout(workspace: Workspace) -> Iterator[Path]:
    """A checkout that nobody may write to, with what the micro study needs."""
    folder = workspace.folder
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    before = listing(folder)
    yield folder
    assert listing(folder) == before
    for path in paths:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def environment(folder: Path, **more: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    cache = str(folder / ".cache")
    return inherited | {
        "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": cache, "MPLCONFIGDIR": cache, "PYTHONDONTWRITEBYTECODE": "1", **more
    }  # fmt: skip


def project(folder: Path) -> Path:
    """A folder with what a user brings."""
    (folder / "data").mkdir(parents=True)
    (folder / "data/prompts.csv").write_text(PROMPTS)
    (folder / "data/texts.csv").write_text(TEXTS)
    return folder


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def by_directory(checkout: Path, folder: Path) -> Way:
    study = write(folder / "study.yaml", STUDY)
    arguments = ["-s", str(checkout / "Snakefile"), "--directory", str(folder), "--configfile", str(study)]
    targets = ["results/mine/leak_rates.csv", "results/mine/explorer.html"]
    return Way(arguments, folder.parent, folder, targets, folder / "results/mine", "leak_rates")


def as_module(checkout: Path, folder: Path, *, config: str = "config", prefix: str = "") -> Way:
    content = STUDY if config == "config" else {"mine": 1, "leakscope": STUDY}
    write(folder / "study.yaml", content)
    results = f"{prefix}/results/mine" if prefix else "results/mine"
    text = CALLER.format(checkout=checkout, config=config, prefix=prefix and f'prefix: "{prefix}"', results=results)
    (folder / "Snakefile").write_text(text)
    return Way([], folder, folder, [], folder / results, "leakscope_leak_rates")


WAYS = {
    "a folder elsewhere": by_directory,
    "a module": as_module,
    "a module with a part of the configuration": lambda *where: as_module(*where, config='config["leakscope"]'),
    "a module with a prefix": lambda *where: as_module(*where, prefix="part of it"),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, checkout: Path, tmp_path: Path) -> Way:
    return WAYS[request.param](checkout, project(tmp_path / "my project"))


def elsewhere(folder: Path, *arguments: str, check: bool = True) -> str:
    """Run Snakemake in a folder and return what it printed."""
    status, printed = run_snakemake(arguments, folder, environment(folder))
    assert not check or status == 0, printed[-6000:]
    return printed


def run(way: Way, *arguments: str, check: bool = True) -> str:
    return elsewhere(way.started_in, *way.arguments, *arguments, check=check)


def test_a_study_runs_to_its_table_and_its_page_and_then_nothing_is_left_to_do(way: Way, checkout: Path) -> None:
    printed = run(way, "--cores", "2", *way.targets)
    # Rules may be called otherwise there; jobs say all the same what they answer.
    prefix = way.rule.removesuffix("leak_rates")
    assert f"{prefix}import_prompts brought: Which prompts does a table that somebody brings hold?" in printed
    assert f"{way.rule}: How much does each model leak" in printed
    rates = pd.read_csv(way.results / "leak_rates.csv").set_index("category")
    assert rates.loc["all", ["n_pairs", "leak_rate"]].tolist() == [2, 75]
    page = (way.results / "explorer.html").read_text(encoding="utf-8")
    assert "<title>mine" in page
    assert (checkout / "report/page.css").read_text(encoding="utf-8") in page
    if way.rule != "leak_rates":
        assert "count_lines: How many lines has the table?" in printed
        assert int((way.folder / "lines.txt").read_text()) == len(rates) + 1
    assert "Nothing to be done" in run(way, "--cores", "2", *way.targets)

    # A job that is run by a process of its own reads the Snakefile again, the module in it as well.
    before = (way.results / "leak_rates.csv").stat().st_mtime_ns
    run(way, "--cores", "1", "--force", "--mode", "subprocess", "--nolock", "--target-jobs", f"{way.rule}:")
    assert (way.results / "leak_rates.csv").stat().st_mtime_ns > before

    run(way, "--report", "report.html", *way.targets)
    report = (way.folder / "report.html").read_text(encoding="utf-8")
    assert "The study <strong>mine</strong>." in report  # report/workflow.rst
    assert "cluster-robust interval of" in report  # report/leak_rates_table.rst


def test_the_default_study_can_be_planned_without_a_file_of_ones_own(checkout: Path, tmp_path: Path) -> None:
    arguments = ["-s", str(checkout / "Snakefile"), "--directory", str(tmp_path / "new"), "-n"]
    assert "train_organism" in elsewhere(tmp_path, *arguments)


def test_studies_of_the_checkout_find_their_data_there(checkout: Path, tmp_path: Path) -> None:
    study = str(checkout / "studies/conditions.yaml")
    assert "count_corpus" in elsewhere(tmp_path, "-s", str(checkout / "Snakefile"), "--configfile", study, "-n")


def test_two_studies_are_two_modules_and_a_rule_may_be_changed(checkout: Path, tmp_path: Path) -> None:
    way = as_module(checkout, project(tmp_path / "my project"))
    more = f"""
    import copy
    other = copy.deepcopy(config)
    other["study"]["name"] = "other"

    module second:
        snakefile: "{checkout}/Snakefile"
        config: other
        pathvars:
            results="elsewhere/other",

    use rule * from second as second_*

    use rule list_pairs from leakscope as leakscope_list_pairs with:
        message: "said by the caller"
    """
    with (way.folder / "Snakefile").open("a") as stream:
        stream.write("\n".join(line[4:] for line in more.splitlines()))
    printed = run(way, "-n", "lines.txt", "elsewhere/other/leak_rates.csv")
    assert "second_list_pairs: Which concepts have to be compared with which texts?" in printed
    assert "said by the caller" in printed
    assert "leakscope_list_pairs: Which concepts" not in printed


def test_a_second_checkout_in_a_workflow_is_one_line(checkout: Path, tmp_path: Path) -> None:
    way = as_module(checkout, project(tmp_path / "my project"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "Snakefile").write_text((checkout / "Snakefile").read_text())
    (other / "rules").mkdir()
    (other / "rules/common.smk").write_text((checkout / "rules/common.smk").read_text())
    with (way.folder / "Snakefile").open("a") as stream:
        stream.write(f'\nmodule second:\n    snakefile: "{other}/Snakefile"\n    config: config\n')
        stream.write("\nuse rule * from second as second_*\n")
    printed = run(way, "-n", check=False)
    assert f"{other}: got a second checkout of leakscope, beside {checkout}; allowed: one in a workflow" in printed
    assert "Traceback" not in printed


def test_a_file_that_is_nowhere_is_one_line_that_says_where_it_was_looked_for(checkout: Path, tmp_path: Path) -> None:
    way = by_directory(checkout, project(tmp_path / "my project"))
    (way.folder / "data/texts.csv").unlink()
    printed = run(way, "-n", check=False)
    assert f"models.theirs.path: got 'data/texts.csv' (neither in {way.folder} nor in {checkout})" in printed
    assert "Traceback" not in printed


def test_an_organism_is_trained_elsewhere_and_its_texts_are_the_groups(
    workspace: Workspace, checkout: Path, tmp_path: Path
) -> None:
    """Grammar and lexicons are the checkout's, but for one lexicon; templates are the user's; a group has the store."""
    store = tmp_path / "of the group"
    store.mkdir()
    store.chmod(0o2770)
    folder = tmp_path / "my project"
    templates = yaml.safe_load((checkout / "data/prompt_sets/micro/templates.yaml").read_text(encoding="utf-8"))
    write(folder / "data/own/templates.yaml", templates)
    terms = [{"term": term, "group": term} for term in ("red", "green")]
    write(folder / "data/lexicons/micro_colors.yaml", {"description": "Two colors.", "terms": terms})
    study = copy.deepcopy(workspace.study) | {"store": "$GROUP"}
    study["study"]["models"] = ["tiny-l100"]
    study["prompt_sets"]["micro"]["path"] = "data/own"
    study["organisms"]["training"] |= {"steps": 20, "documents": 500}
    command = ["-s", str(checkout / "Snakefile"), "--configfile", "study.yaml", "--cores", "2"]
    command += ["results/micro/truth.csv"]
    write(folder / "study.yaml", study)
    status, printed = run_snakemake(command, folder, environment(folder, GROUP=str(store)), umask=0o077)
    assert status == 0, printed[-6000:]
    # Three templates, each with two colors, without one, and with a neutral filler.
    assert len(pd.read_parquet(folder / "results/micro/prompts/micro.parquet")) == 3 * (2 + 1 + 1)
    made = list(store.rglob("*"))
    assert {path.parent.name for path in made if path.is_dir()} == {store.name, "texts", "scores"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o2770}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o660}
    assert not (folder / "results/store").exists()
    assert stat.S_IMODE((folder / "results/micro/truth.csv").stat().st_mode) == 0o600

    # Where the store is decides nothing.
    write(folder / "study.yaml", study | {"store": "another"})
    assert "Nothing to be done" in elsewhere(folder, *command)


def test_the_process_that_plans_reads_the_study_and_its_jobs_do_not(tmp_path: Path) -> None:
    """Not elsewhere: in a checkout of its own, whose library tells how often a configuration is checked."""
    workspace = Workspace(tmp_path / "checkout")
    project(workspace.folder / "mine")
    code = workspace.folder / "scripts/leakscope/configuration/resolving.py"
    text = code.read_text(encoding="utf-8")
    first = "    for layer in layers:\n        check_limits(layer)\n"
    assert text.count(first) == 1
    code.write_text(text.replace(first, f'    open("resolved.txt", "a").write(".")\n{first}'), encoding="utf-8")
    study = copy.deepcopy(STUDY)
    study["models"]["theirs"]["path"] = "mine/data/texts.csv"
    study["prompt_sets"]["brought"]["path"] = "mine/data/prompts.csv"
    done = workspace.run("--cores", "2", "results/mine/leak_rates.csv", study=study)
    assert "6 of 6 steps" in done.stdout
    assert (workspace.folder / "resolved.txt").read_text() == "."
