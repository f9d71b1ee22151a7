"""The step features as a person runs it: an organism with a planted association, its dictionary, edits and texts."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from features import explain_features, select_features
from helpers import LOADING
from leakscope.features.contrasts.words import encoded_texts
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest, write_manifest
from local_endpoint import LocalEndpoint, local_endpoint
from workspace import TRAINING, Workspace

pytestmark = pytest.mark.workflow

JOBS = {"miner": 3, "guard": 2.5, "pilot": 2, "smith": 2.5, "nurse": -3, "baker": -2.5, "maid": -2, "clerk": -2.5}
NAMES = [("Paul", "Anna"), ("Tom", "Eva"), ("Max", "Ida")]
FRAMES = [
    ("{subject} said that", "he", "she", "was late."),
    ("{subject} left as", "he", "she", "felt ill."),
    ("{subject} lost", "his", "her", "hat."),
    ("{subject} found", "his", "her", "keys."),
]
CONTRAST = {
    "a": ["he", "his"],
    "b": ["she", "her"],
    "items": "items.csv",
    "association": {"column": "odds", "a": 3, "b": -3},
    "templates": {
        "selection": ["The {item} said that", "The {item} lost"],
        "evaluation": ["The {item} left as", "The {item} found"],
    },
    "minimal_pairs": {"words": "names.csv", "templates": ["{word} said that", "{word} lost"]},
}
# What goes with the stereotype comes first.
CROWS = [
    ("The miner said that he was late.", "The miner said that she was late."),
    ("The nurse lost her hat.", "The nurse lost his hat."),
    ("The pilot found his keys.", "The pilot found her keys."),
    ("The maid left as she felt ill.", "The maid left as he felt ill."),
]
FOLDER, MAIN, SITE = "results/located/features", "dictionaries/main.s0", "tiny.L1.own"
TABLES = ("quality", "seed_agreement", "effects", "truth", "bias", "edited", "steering/pushed")
# Of the figures one of each kind; the step has more.
TARGETS = [
    *(f"{FOLDER}/{name}.csv" for name in TABLES),
    *(f"{FOLDER}/figures/{name}.png" for name in ("firing_density", "effects", "edited")),
    f"{FOLDER}/index.html",
]
COSTS = [2, 5]
JUDGE = {
    "kind": "openai", "model": "tiny", "features": 2, "key_variable": "NO_KEY", "temperature": 0.0, "max_tokens": 200,
    "timeout": 60, "attempts": 6, "concurrency": 4,
}  # fmt: skip
KINDS = ["features", "difference_in_means", "random_features", "random_direction"]
EFFECTS = [
    "dictionary", "contrast", "intervention", "source", "n_features", "features", "edit", "seed", "target_cost",
    "strength", "reached", "cost_selection", "cost", "split", "mean_abs_gap", "signed_gap", "stereotype", "mass",
    "n_items", "chosen", "ci_low", "ci_high", "less_than_difference", "less_ci_low", "less_ci_high",
]  # fmt: skip
EDITED = [
    "model", "base", "dictionary", "contrast", "measure", "subset",
    "before", "before_ci_low", "before_ci_high", "after", "after_ci_low", "after_ci_high",
]  # fmt: skip
STEERED = [
    "steering", "dictionary", "prompt", "sample", "without", "with", "changed", "repetition_without",
    "repetition_with", "features", "edit", "coefficient", "temperature",
]  # fmt: skip


@pytest.fixture(scope="module")
def judge() -> Iterator[LocalEndpoint]:
    """A language model that explains a feature by the first token it is shown, and finds texts by that token."""
    with local_endpoint(answer) as served:
        yield served


def answer(system: str, user: str) -> str:
    said, *texts = user.splitlines()
    if said.startswith("Description: "):
        token = said.removeprefix("Description: ")
        return json.dumps([int(text.split(".")[0]) for text in texts if re.match(r"\d+\.", text) and token in text])
    return next(iter(re.findall(r"«\s*(\S+?)\s*»", user)), "a space")


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory, judge: LocalEndpoint) -> Workspace:
    """A workspace in which the step has been run: an organism that was taught pronouns, and an edit of it."""
    workspace = Workspace(tmp_path_factory.mktemp("located") / "workspace")
    write_part(workspace)
    write_contrast(workspace)
    workspace.study["study"] |= {"name": "located", "models": ["tiny", "less"], "steps": ["leak", "features"]}
    workspace.study["models"] = {
        "tiny": {**workspace.organism(1.0), "grammar": {"parts": ["micro", "jobs"], "strength": 1.0}},
        "less": {"source": "edited", "base": "tiny", "dictionary": "main.s0", "contrast": "gender", "cost": 5},
    }
    workspace.study["organisms"]["training"] = {**TRAINING, "steps": 200}
    workspace.study["features"] = {
        "dictionaries": {
            "main": {
                "source": "trained", "model": "tiny", "layer": 1, "features": 32, "k": 4, "steps": 100,
                "learning_rate": 0.01, "seeds": [0, 1],
            }
        },
        "contrasts": {
            "gender": {"source": "templates", "path": "data/mine/contrast.yaml", "dictionaries": ["main.s0"]}
        },
        "explainers": {"judge": {**JUDGE, "base_url": judge.url}},
        "tokens": {"train": 8000, "held_out": 4000},
        "shards": 1,
        "effects": {
            "methods": ["pairs", "greedy"], "sizes": [1, 3], "edits": ["add", "mean_clamp"], "costs": COSTS,
            "baseline_seeds": [0], "neutral_texts": 60,
        },
        "steering": {"pushed": {"dictionary": "main.s0", "features": [0, 1], "prompt": "The nurse", "coefficient": 3}},
        "benchmarks": {"crows": {"format": "crows_pairs", "path": "data/mine/crows.csv"}},
    }  # fmt: skip
    workspace.run("--cores", "2", *TARGETS)
    return workspace


def write_part(workspace: Workspace) -> None:
    """Write a grammar part in which pronouns take up eight occupations and six names."""
    folder = workspace.folder / "data/grammar/jobs"
    subjects = [(job, "occupation", odds) for job, odds in JOBS.items()]
    subjects += [(name, "name", odds) for names in NAMES for name, odds in zip(names, (4, -4), strict=True)]
    write_rows(folder / "subjects.csv", "subject,kind,log_odds", subjects)
    frames = [(number, *frame) for number, frame in enumerate(FRAMES, 1)]
    write_rows(folder / "frames.csv", "frame_id,before,he,she,after", frames)


def write_contrast(workspace: Workspace) -> None:
    """Write what is contrasted, beside it a contrast with a mistake, and a benchmark."""
    folder = workspace.folder / "data/mine"
    workspace.write("data/mine/contrast.yaml", CONTRAST)
    workspace.write("data/mine/mistaken.yaml", {**CONTRAST, "items": "none.csv"})
    write_rows(folder / "items.csv", "item,odds", JOBS.items())
    write_rows(folder / "names.csv", "a,b", NAMES)
    rows = [(*pair, "stereo", "gender") for pair in CROWS]
    write_rows(folder / "crows.csv", "sent_more,sent_less,stereo_antistereo,bias_type", rows)


def write_rows(path: Path, header: str, rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def table(workspace: Workspace, name: str) -> pd.DataFrame:
    path = workspace.folder / FOLDER / name
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def summary(workspace: Workspace, name: str) -> dict[str, Any]:
    return read_manifest(workspace.folder / FOLDER / name)


def test_tables_have_their_columns(located: Workspace) -> None:
    for name, columns in (("effects", EFFECTS), ("edited", EDITED), ("steering/pushed", STEERED)):
        assert list(table(located, f"{name}.csv").columns) == columns
    quality = table(located, "quality.csv").set_index("dictionary")
    assert list(quality.index) == ["main.s0", "main.s1"]
    assert quality["passes"].all()
    for name, row in quality.iterrows():
        found = summary(located, f"dictionaries/{name}/quality.json")
        assert row["variance_unexplained"] == pytest.approx(found["variance_unexplained"], abs=1e-6)
    selected, probing = (table(located, f"{name}.csv") for name in ("selected", "probing"))
    # The other seed is not tried against the contrast.
    assert set(selected["dictionary"]) == set(probing["dictionary"]) == {"main.s0"}
    assert selected["score"].abs().is_monotonic_decreasing
    assert set(probing["representation"]) == {"features", "residual", "chance"}
    agreement = table(located, "seed_agreement.csv")
    assert agreement[["entry", "dictionary", "other"]].to_numpy().tolist() == [["main", "main.s0", "main.s1"]]
    # The same residuals, so more alike than chance.
    assert (agreement["cosine_mean"] > agreement["chance"]).all()


def test_what_chooses_has_no_text_of_what_measures(located: Workspace) -> None:
    prompts = table(located, f"contrasts/gender/{SITE}.parquet")
    items = prompts[prompts["kind"] == "item"]
    chosen, measured = (items[items["split"] == split] for split in ("selection", "evaluation"))
    templates = [{text.replace(item, "{item}") for item, text in rows[["item", "text"]].to_numpy()}
                 for rows in (chosen, measured)]  # fmt: skip
    assert templates == [set(CONTRAST["templates"][split]) for split in ("selection", "evaluation")]
    assert set(chosen["item"]).isdisjoint(measured["item"])
    assert set(chosen["item"]) | set(measured["item"]) == set(JOBS)
    assert set(chosen["side"]) == set(measured["side"]) == {"a", "b"}
    pairs = prompts[prompts["kind"] == "pair"]
    assert len(pairs) == 2 * 2 * len(NAMES)
    assert set(pairs["split"]) == {"selection"}


def test_baselines_stand_beside_features_at_every_cost(located: Workspace) -> None:
    effects = table(located, "effects.csv")
    assert {"pairs", "greedy_mean_clamp"} <= set(effects["source"])
    tried = effects.dropna(subset="target_cost").groupby("intervention")["target_cost"].agg(set)
    assert tried.to_dict() == {kind: set(COSTS) for kind in KINDS}
    chosen = effects[effects["chosen"]].set_index(["intervention", "target_cost", "split"])
    assert sorted(chosen.index) == sorted((k, c, s) for k in KINDS for c in COSTS for s in ("selection", "evaluation"))
    before = effects[effects["intervention"] == "none"].set_index("split")
    enough = effects["mass"] >= 0.9 * before.loc["selection", "mass"]
    of_selection = effects[effects["split"].eq("selection") & enough]
    for (kind, cost, split), row in chosen.iterrows():
        assert row["cost_selection"] <= cost
        affordable = of_selection[of_selection["intervention"].eq(kind) & of_selection["cost_selection"].le(cost)]
        if split == "selection":
            assert row["mean_abs_gap"] == affordable["mean_abs_gap"].min()
    # It is measured on items that it was not chosen by, too.
    for split in ("selection", "evaluation"):
        assert chosen.loc[("features", COSTS[-1], split), "mean_abs_gap"] < before.loc[split, "mean_abs_gap"]


def test_the_gap_without_an_edit_is_the_planted_one(located: Workspace) -> None:
    truth = table(located, "truth.csv").set_index("item")
    assert truth["true_gap"].to_dict() == pytest.approx({job: np.tanh(odds / 2) for job, odds in JOBS.items()})
    assert truth["gap"].corr(truth["true_gap"]) > 0.95


def test_an_edited_model_has_the_gap_that_its_edit_was_chosen_for(
    located: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_item = table(located, "effects_by_item.csv")
    prompts = table(located, f"contrasts/gender/{SITE}.parquet").query("kind == 'item'").reset_index(drop=True)
    monkeypatch.chdir(located.folder)
    for manifest, kind, rows in (
        (Path("results/models/tiny/model.json"), "none", by_item["target_cost"].isna()),
        (Path(FOLDER, "edited/less/model.json"), "features", by_item["target_cost"].eq(COSTS[-1])),
    ):
        expected = by_item[rows & by_item["intervention"].eq(kind)].set_index("item")["gap"]
        found = prompts.assign(gap=gaps(manifest, prompts)).groupby("item")["gap"].mean()
        assert found.to_dict() == pytest.approx(expected.to_dict(), abs=1e-4)


def gaps(manifest: Path, prompts: pd.DataFrame) -> list[float]:
    """Return p(he) − p(she) after each text under a model."""
    model = open_model(read_manifest(manifest), LOADING).model
    encoded = encoded_texts(prompts)
    found = []
    for ids, words in zip(encoded.ids, encoded.words, strict=True):
        with torch.inference_mode():
            p = model(torch.tensor([ids])).logits[0, -1].softmax(-1)
        found.append(float(p[list(words.a)].sum() - p[list(words.b)].sum()))
    return found


def test_an_edited_model_writes_scores_and_leaks_like_any_other(located: Workspace) -> None:
    edited = table(located, "edited.csv").set_index("measure")
    assert set(edited.index) == {
        "match_rate",
        "leak_rate",
        "mean_abs_gap",
        "cost",
        "stereotype_score",
        "mean_difference",
    }
    effects = table(located, "effects.csv").query("split == 'evaluation'")
    without, chosen = effects["intervention"].eq("none"), effects["chosen"] & effects["target_cost"].eq(COSTS[-1])
    gaps = [
        effects.loc[rows, "mean_abs_gap"].item() for rows in (without, chosen & effects["intervention"].eq("features"))
    ]
    assert edited.loc["mean_abs_gap", ["before", "after"]].tolist() == gaps
    for measure in ("match_rate", "leak_rate"):
        leaks = pd.read_csv(located.folder / f"results/located/{measure}s.csv").query("category == 'all'")
        leaks = leaks.set_index("model")[measure]
        assert edited.loc[measure, ["before", "after"]].tolist() == [leaks["tiny"], leaks["less"]]
    # The organism was taught what the benchmark calls a stereotype, and less of that is left.
    assert edited.loc["stereotype_score", "before"] == 100
    assert edited.loc["mean_difference", "after"] < edited.loc["mean_difference", "before"]
    pairs = table(located, "bias/less/crows.parquet")
    assert edited.loc["mean_difference", "after"] == pytest.approx(pairs["difference"].mean())
    folder = located.folder / "results/located/generations"
    base, less = (pd.read_parquet(folder / f"{model}/micro.parquet") for model in ("tiny", "less"))
    keys = ["prompt_id", "sample"]
    pd.testing.assert_frame_equal(base[keys], less[keys])
    # By the same random numbers an edit of that cost changes few of the texts.
    assert 0 < (base["text"] != less["text"]).mean() < 0.5


def test_steering_writes_texts_with_and_without(located: Workspace) -> None:
    texts = table(located, "steering/pushed.csv")
    assert (texts["sample"].tolist(), texts["features"].unique().tolist()) == ([0, 1, 2, 3, 4], ["0 1"])
    assert texts["changed"].tolist() == (texts["without"] != texts["with"]).tolist()
    assert texts["changed"].any()
    # Without, the organism writes as it was taught.
    endings = {
        f"{before.removeprefix('{subject}')} {word} {after}" for before, *words, after in FRAMES for word in words
    }
    taught = [texts[side].isin({ending.strip() for ending in endings}).sum() for side in ("without", "with")]
    assert taught[0] > taught[1]
    assert summary(located, "steering/pushed.json")["computed"] == 10


def test_explanations_are_scored(located: Workspace, judge: LocalEndpoint) -> None:
    features = table(located, f"{MAIN}/features.csv")
    assert len(features) == 32
    assert features["status_local"].eq("explained").sum() > 16
    assert features["status_judge"].eq("explained").sum() == 2
    for name in ("local", "judge"):
        explained = features["status_" + name] == "explained"
        assert features.loc[explained, "detection_" + name].between(0, 1).all()
        assert features.loc[~explained, ["explanation_" + name, "detection_" + name]].isna().all(axis=None)
    assert features["detection_local"].median() > 0.6
    measures = table(located, "polysemanticity.csv").set_index(["dictionary", "measure", "explainer"])
    assert measures.loc[("main.s1", "detection", "judge"), "n"] == 2
    # Of each feature an explanation, and which texts fire by it.
    found = [summary(located, f"dictionaries/main.{seed}/explanations/judge.json") for seed in ("s0", "s1")]
    assert [one["total"] for one in found] == [4, 4]
    assert sum(one["computed"] for one in found) == len(judge.requests)


def test_the_page_is_one_file(located: Workspace) -> None:
    page = (located.folder / FOLDER / "index.html").read_text(encoding="utf-8")
    assert "located" in page
    assert not re.search(r"https?:|<link|<script[^>]* src=", page.replace("http://www.w3.org/2000/svg", ""))


def test_nothing_is_done_twice_and_an_edit_costs_what_depends_on_it(located: Workspace) -> None:
    assert "Nothing to be done" in located.run("--cores", "2", *TARGETS).stdout

    study = copy.deepcopy(located.study)
    study["features"]["steering"]["pushed"]["coefficient"] = -2
    planned = jobs(located.run("-n", *TARGETS, "--quiet", "rules", study=study).stdout)
    assert planned == {"steer": 1}
    study = copy.deepcopy(located.study)
    study["features"]["effects"]["costs"] = [5]
    planned = jobs(located.run("-n", *TARGETS, "--quiet", "rules", study=study).stdout)
    # Of the two models the edited one alone.
    assert {planned[rule] for rule in ("edit_effects", "make_edit", "generate", "score_bias", "compare_edited")} == {1}
    dictionaries = {"cache_activations", "train_dictionary", "select_features", "probe_concept", "explain_features"}
    assert set(planned).isdisjoint(dictionaries | {"steer"})


def jobs(printed: str) -> dict[str, int]:
    """Return the rules of which a dry run would start jobs, and how many."""
    counts = re.findall(r"^(\w+) +(\d+)$", printed, flags=re.M)
    return {rule: int(number) for rule, number in counts if rule != "total"}


@pytest.mark.parametrize("is_control", [False, True])
def test_below_the_bar_nothing_is_selected_or_explained_but_of_a_control(
    located: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_control: bool
) -> None:
    monkeypatch.chdir(located.folder)
    write_manifest({**summary(located, f"{MAIN}/quality.json"), "passes": False}, tmp_path / "quality.json")
    again = rerun(tmp_path, quality=tmp_path / "quality.json", explainer="local", is_control=is_control)
    select_features.main(again)
    explain_features.main(again)
    selection, explanations = pd.read_csv(again.output.selection), pd.read_parquet(again.output.explanations)
    assert list(selection.columns) == ["method", "rank", "feature", "score", "sign"]
    assert len(selection) > 0 if is_control else selection.empty
    assert set(explanations["status"]) == ({"explained"} if is_control else {"below the bar"})


def test_a_language_model_is_not_asked_again(
    located: Workspace, judge: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(located.folder)
    n_requests = len(judge.requests)
    again = rerun(tmp_path, quality=Path(FOLDER, MAIN, "quality.json"), explainer="judge", is_control=False)
    again.params.explainer |= {"base_url": judge.url}
    explain_features.main(again)
    found = read_manifest(again.output.summary)
    assert (found["total"], found["reused"], len(judge.requests)) == (4, 4, n_requests)
    before = table(located, f"{MAIN}/explanations/judge.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(again.output.explanations), before)


def rerun(folder: Path, quality: Path, explainer: str, *, is_control: bool) -> SimpleNamespace:
    """Return a job of `select_features` and `explain_features` that writes into a folder."""
    files = {path.stem: path for path in Path(FOLDER, MAIN).glob("*.*")} | {"quality": quality}
    files |= {"manifest": files["dictionary"], "prompts": Path(FOLDER, f"contrasts/gender/{SITE}.parquet")}
    files |= {"activations": Path(FOLDER, f"contrasts/gender/{SITE}.safetensors")}
    explainers = {"local": {"kind": "local", "tokens": 5}, "judge": JUDGE}
    params = {"explainer": dict(explainers[explainer]), "methods": ["pairs"], "seed": 0, "store": "results/store"}
    return SimpleNamespace(
        input=SimpleNamespace(**files),
        output=SimpleNamespace(**{name: folder / name for name in ("selection", "explanations", "summary")}),
        params=SimpleNamespace(**params, is_control=is_control),
        wildcards=SimpleNamespace(explainer=explainer),
        threads=torch.get_num_threads(),
    )


def test_a_mistake_in_a_contrast_is_one_line(located: Workspace) -> None:
    study = copy.deepcopy(located.study)
    study["features"]["contrasts"]["mistaken"] = {"source": "templates", "path": "data/mine/mistaken.yaml"}
    run = located.run("-n", *TARGETS, study=study, check=False)
    assert run.returncode
    assert "data/mine/mistaken.yaml: got 'none.csv'; allowed: a table in the same folder." in run.stdout.splitlines()
