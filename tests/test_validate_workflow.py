"""The step validate as a person runs it: an organism with a planted gap, one tuned from it, and imported scores."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from leakscope.organisms.taxonomy_grammar import load_taxonomy_grammar
from workspace import Workspace

pytestmark = pytest.mark.workflow

KINDS = {"bird": ["robins", "wrens"], "tool": ["axes", "saws"], "fruit": ["pears", "figs"], "fish": ["cods", "eels"]}
FORMS = {
    "description": "For tests.",
    "generators": [
        {"id": "kind", "text": "{question} are a kind of", "negated": "{question} are not a kind of"},
        {"id": "sort", "text": "{question} are a sort of", "negated": "{question} are not a sort of"},
    ],
    "validators": [{"id": "ask", "text": "Are {question} a kind of {candidate}? Answer:"}],
    "styles": [{"id": "chat", "shots": 0, "chat": True, "template": "{prompt}"}],
}
TUNED = "tiny.ranking-generator.random"
# Enough to know of each pair whether it is affirmed: some seconds.
TRAINING = {"steps": 900, "batch_size": 48, "documents": 5000, "learning_rate": 0.003, "initializer_range": 0.2}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the study `asked` has been run: an organism, one tuned from it, and imported scores."""
    workspace = Workspace(tmp_path_factory.mktemp("asked") / "workspace")
    write_part(workspace)
    write_scores(workspace)
    workspace.write("data/mine/forms.yaml", FORMS)
    workspace.study = {
        "study": {"name": "asked", "models": ["tiny", "theirs"], "steps": ["validate"]},
        "models": {
            "tiny": {**workspace.organism(0.3), "label": "Tiny"},
            "theirs": {"source": "scores", "path": {"brought": "data/mine/scores.json"}},
        },
        "organisms": workspace.study["organisms"],
        "validate": {
            "tasks": {
                "kinds": {
                    "reader": "pairs",
                    "path": "data/mine/items.csv",
                    "forms": "data/mine/forms.yaml",
                    "lens_item": "saws/tool",
                }
            },
            "methods": {"ranking-generator": {"delta": 0.5, "steps": 60, "batch_size": 8, "keep": 0.1}},
            "tuned": {"models": ["tiny"], "methods": ["ranking-generator"], "splits": ["random"], "task": "kinds"},
        },
    }
    workspace.study["models"]["tiny"]["grammar"]["parts"] = ["kinds", "micro"]
    workspace.study["organisms"] |= {"vocab_size": 400, "training": TRAINING}
    workspace.run("--cores", "2")
    return workspace


def write_part(workspace: Workspace) -> None:
    """Write a grammar part that completes and affirms eight nouns, and its pairs as items."""
    part, mine = workspace.folder / "data/grammar/kinds", workspace.folder / "data/mine"
    part.mkdir(parents=True)
    mine.mkdir(parents=True)
    nouns = [(noun, own) for own, nouns in KINDS.items() for noun in nouns]
    pairs = [(noun, kind, kind == own) for noun, own in nouns for kind in KINDS]
    rng = np.random.default_rng(0)
    weights, own_parts = rng.normal(0, 1, len(pairs)), rng.normal(0, 1, len(pairs))
    lines = [f"{noun},{kind},{w + 2 * right:.3f}" for (noun, kind, right), w in zip(pairs, weights, strict=True)]
    (part / "generator.csv").write_text("\n".join(["hyponym,hypernym,log_weight", *lines]) + "\n")
    labels = [(noun, kind, "yes" if right else "no") for noun, kind, right in pairs]
    lines = [f"{','.join(label)},{n:.3f}" for label, n in zip(labels, own_parts, strict=True)]
    (part / "validator.csv").write_text("\n".join(["hyponym,hypernym,right,own", *lines]) + "\n")
    texts = [("generator", form["text"]) for form in FORMS["generators"]]
    texts += [("validator", form["text"]) for form in FORMS["validators"]]
    lines = [f"{kind},{text}" for kind, text in texts]
    (part / "forms.csv").write_text("\n".join(["kind,text", *lines]) + "\n")
    (mine / "items.csv").write_text("\n".join(["noun1,noun2,taxonomic", *map(",".join, labels)]) + "\n")


def write_scores(workspace: Workspace) -> None:
    """Write scores as the lexical-inconsistency project ships them."""
    rng = np.random.default_rng(1)
    rows = [
        {
            "noun1": noun,
            "noun2": kind,
            "taxonomic": "yes" if kind == own else "no",
            "generator-log-prob": -0.1 - float(rng.exponential(3)),
            "discriminator-log-prob": -0.1 - float(rng.exponential(1)),
        }
        for own, nouns in KINDS.items()
        for noun in nouns
        for kind in KINDS
    ]
    (workspace.folder / "data/mine/scores.json").write_text(json.dumps(rows))


def table(workspace: Workspace, name: str, study: str = "asked") -> pd.DataFrame:
    return pd.read_csv(workspace.folder / f"results/{study}/validate/{name}.csv")


def study_of(workspace: Workspace) -> dict[str, Any]:
    """Return a copy of the study, to change."""
    copy: dict[str, Any] = json.loads(json.dumps(workspace.study))
    return copy


DRAWN = {"plot_validate", "result_page"}  # the page shows a figure


def jobs(printed: str) -> set[str]:
    """Return the rules of which a dry run would start jobs."""
    return set(re.findall(r"^(\w+) +\d+$", printed, flags=re.M)) - {"all", "total"}


def test_the_gap_is_that_of_the_scores(asked: Workspace) -> None:
    keys = ["model", "task", "split", "form", "subset", "statistic"]
    found = table(asked, "correlations").set_index(keys)
    rows = json.loads((asked.folder / "data/mine/scores.json").read_text())
    l_g, l_v = (
        np.array([row[key] - np.log1p(-np.exp(row[key])) for row in rows])
        for key in ("generator-log-prob", "discriminator-log-prob")
    )
    right = np.array([row["taxonomic"] == "yes" for row in rows])
    for subset, chosen in (("all", right | True), ("positive", right), ("negative", ~right)):
        row = found.loc[("theirs", "brought", "all", "imported", subset, "pearson")]
        assert row["value"] == pytest.approx(np.corrcoef(l_g[chosen], l_v[chosen])[0, 1], abs=1e-5)
        assert row["ci_low"] < row["value"] < row["ci_high"]
        assert row["n"] == chosen.sum()
    # Only a task that models are tuned on is looked at by parts.
    assert set(found.loc["theirs"].reset_index()["split"]) == {"all"}
    assert set(found.loc["tiny"].reset_index()["split"]) == {"all", "random-train", "random-test"}
    assert set(found.loc["tiny"].reset_index()["form"]) == {"chat/kind/ask", "chat/sort/ask"}


def test_the_true_gap_is_the_grammars(asked: Workspace) -> None:
    exact = load_taxonomy_grammar(asked.folder / "data/grammar/kinds", 0.3).log_odds()
    truth = table(asked, "truth")
    assert set(truth["model"]) == {"tiny"}
    pooled = truth[truth["subset"] == "all"]
    assert pooled["true_gap"].to_numpy() == pytest.approx(1 - exact["l_g"].corr(exact["l_v"]), abs=1e-5)
    assert set(pooled["n"]) == {len(exact)}


def test_training_is_on_the_training_items_and_is_measured_on_both_parts(asked: Workspace) -> None:
    splits = table(asked, "splits/kinds.random")
    closing = table(asked, "closing").set_index(["part", "subset"])
    assert set(closing["base"]) == {"tiny"}
    assert set(closing["model"]) == {TUNED}
    for part in ("train", "test"):
        assert closing.loc[(part, "all"), "n"] == (splits["split"] == part).sum()
    training = asked.folder / f"results/asked/validate/tuned/{TUNED}/training.json"
    assert json.loads(training.read_text())["training_items"] == closing.loc[("train", "all"), "n"]
    assert closing.loc[("train", "all"), "closed"] > 0
    assert (closing["perplexity_before"] > 1).all()
    assert (closing["perplexity_after"] != closing["perplexity_before"]).all()
    assert closing[["match_rate_before", "leak_rate_before"]].isna().all(axis=None)


def test_accuracies_are_of_what_models_were_asked(asked: Workspace) -> None:
    accuracy = table(asked, "accuracy")
    accuracy = accuracy[accuracy["split"] == "all"]
    of = {model: set(rows.dropna(subset="value")["statistic"]) for model, rows in accuracy.groupby("model")}
    assert {"validator_accuracy", "validator_auc", "generator_auc"} == of["theirs"]
    of_questions = {"accuracy_at_1", "mrr", "consistency", "consistency_chance"}
    assert {*of_questions, "yes_no_mass", *of["theirs"]} == of["tiny"] - {"accuracy_at_5"}
    # Its corpus answers nine in ten verdicts rightly, and nothing but Yes and No.
    values = accuracy[accuracy["model"] == "tiny"].groupby("statistic")["value"].first()
    assert values["validator_accuracy"] > 0.7
    assert values["yes_no_mass"] > 0.9


def test_the_layers_end_in_the_model_itself(asked: Workspace) -> None:
    layers = table(asked, "layers").set_index(["model", "layer", "subset"])
    pairs = pd.read_parquet(asked.folder / "results/asked/validate/paired.parquet")
    main = pairs[(pairs["model"] == "tiny") & (pairs["form"] == "chat/kind/ask")]
    assert layers.loc[("tiny", 2, "all"), "l_v"] == pytest.approx(main["l_v"].mean(), abs=1e-3)
    assert set(table(asked, "parting")["model"]) == {"tiny", TUNED}
    lens = json.loads((asked.folder / "results/asked/validate/lens/tiny/kinds.json").read_text())
    assert lens["item_id"] == "saws/tool"


def test_every_table_and_figure_is_there(asked: Workspace) -> None:
    validate = asked.folder / "results/asked/validate"
    tables = {path.stem for path in validate.glob("*.csv")}
    assert tables == {"correlations", "accuracy", "form_agreement", "layers", "parting", "truth", "closing"}
    figures = {
        str(path.relative_to(validate / "figures").with_suffix("")) for path in validate.glob("figures/**/*.png")
    }
    assert figures == {
        "correlations", "log_odds_density", "form_agreement", "log_odds_by_layer", "truth", "closing",
        "lens_heatmap/tiny/kinds",
    }  # fmt: skip
    assert all((validate / "figures" / f"{name}.pdf").is_file() for name in figures)
    # A training that is finished leaves nothing behind.
    assert not (validate / "tuning" / TUNED).exists()


def test_the_report_is_of_this_step_alone(asked: Workspace) -> None:
    asked.run("--cores", "1", "--report", "report.html")
    page = (asked.folder / "report.html").read_text(encoding="utf-8")
    assert "Closing the gap" in page
    assert "surface in what a model then writes" not in page
    assert "System Message" not in page


def test_nothing_is_done_twice_and_an_edit_costs_what_depends_on_it(asked: Workspace) -> None:
    assert "Nothing to be done" in asked.run("--cores", "2").stdout

    def planned(path: str, value: Any) -> set[str]:
        study = study_of(asked)
        *outer, last = path.split("/")
        place = study
        for key in outer:
            place = place[key]
        place[last] = value
        return jobs(asked.run("-n", "--quiet", "rules", study=study).stdout)

    ranked = planned("validate/tasks/kinds/rank_among", "question")
    assert ranked == {"complete_items", "answer_accuracy", "closing", *DRAWN}
    assert planned("validate/tasks/kinds/lens_item", "axes/tool") == {"score_layers", "layer_summary", *DRAWN}
    assert planned("models/tiny/label", "Little") == DRAWN
    assert planned("validate/methods/supervised", {"loss": "supervised", "steps": 9}) == set()
    assert "tune_model" in planned("validate/methods/ranking-generator/steps", 9)
    assert not {"score_items", "complete_items", "score_layers"} & planned("validate/level", 0.9)


def test_a_tuned_model_is_a_model_like_any_other(asked: Workspace) -> None:
    study = study_of(asked)
    study["study"] |= {"steps": ["leak"], "prompt_sets": ["micro"], "scorers": ["lexical"], "models": ["tiny"]}
    study["prompt_sets"] = {"micro": {"source": "templates", "path": "data/prompt_sets/micro"}}
    planned = asked.run("-n", "--quiet", "rules", study=study).stdout
    # Of the step validate what training needs, which is there already.
    assert re.search(r"^generate +2$", planned, flags=re.M)
    assert "tune_model" not in planned
    assert "plot_validate" not in planned
    study["study"]["steps"] = ["leak", "validate"]
    planned = asked.run("-n", "--quiet", "rules", study=study).stdout
    assert re.search(r"^match_rates +1$", planned, flags=re.M)
    assert re.search(r"^leak_rates +1$", planned, flags=re.M)
    assert re.search(r"^closing +1$", planned, flags=re.M)


def test_an_adapter_is_another_file_of_the_same_rule(asked: Workspace) -> None:
    study = study_of(asked)
    study["validate"]["methods"]["ranking-generator"] |= {"parameters": "lora", "steps": 2}
    study["study"]["name"] = "adapted"
    folder = f"results/adapted/validate/tuned/{TUNED}"
    asked.run("--cores", "2", f"results/adapted/validate/scores/{TUNED}/kinds.parquet", study=study)
    assert (asked.folder / folder / "adapter_model.safetensors").is_file()
    assert not (asked.folder / folder / "model.safetensors").exists()
    manifest = json.loads((asked.folder / folder / "model.json").read_text())
    assert manifest["base"]["path"] == "results/models/tiny"


# Imported


def imported(workspace: Workspace) -> dict[str, Any]:
    """Return the study of imported scores alone."""
    study = {"study": {"name": "theirs", "models": ["theirs"], "steps": ["validate"]}}
    return {**study, "models": {"theirs": workspace.study["models"]["theirs"]}}


def test_imported_scores_are_compared_without_a_model_or_a_task(asked: Workspace) -> None:
    study = imported(asked)
    assert jobs(asked.run("-n", "--quiet", "rules", study=study).stdout) == {
        "import_item_scores", "correlations", "answer_accuracy", "form_agreement", *DRAWN,
    }  # fmt: skip
    asked.run("--cores", "1", "results/theirs/validate/correlations.csv", study=study)
    theirs, among_others = (table(asked, "correlations", study) for study in ("theirs", "asked"))
    among_others = among_others[among_others["model"] == "theirs"].reset_index(drop=True)
    pd.testing.assert_frame_equal(theirs, among_others)


def test_a_mistake_in_scores_is_one_line(asked: Workspace) -> None:
    study = imported(asked)
    study["study"]["name"] = "mistaken"
    study["models"]["theirs"] = {"source": "scores", "path": {"brought": "data/mine/mistaken.json"}}
    rows = json.loads((asked.folder / "data/mine/scores.json").read_text())
    # Of all rows together: what is wrong with one alone is found before the plan.
    rows.append(rows[1])
    (asked.folder / "data/mine/mistaken.json").write_text(json.dumps(rows))
    run = asked.run("--cores", "1", "validate", study=study, check=False)
    assert run.returncode
    assert re.search(rf"Error: .*mistaken.json, item {len(rows)}: got item_id .* again; allowed: each once", run.stdout)
    assert "Traceback" not in run.stdout


def test_a_step_that_is_not_asked_for_says_what_it_needs(asked: Workspace) -> None:
    study = {"study": {"name": "other", "models": ["organism-s-l0"], "steps": ["leak"]}}
    run = asked.run("--cores", "1", "-n", "validate", study=study, check=False)
    assert run.returncode
    assert "config: study.steps: got no step validate" in run.stdout
    assert "studies/hypernymy.yaml" in run.stdout


def test_the_shipped_study_can_be_planned(asked: Workspace) -> None:
    study = yaml.safe_load((asked.folder / "studies/hypernymy.yaml").read_text(encoding="utf-8"))
    planned = asked.run("-n", "--quiet", "rules", study=study).stdout
    counts = {rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", planned, flags=re.M)}
    n_tuned = 3 * 3 * 3
    assert counts["tune_adapter"] == n_tuned
    n_models = n_tuned + len(study["study"]["models"])
    assert [counts[rule] for rule in ("score_items", "complete_items", "score_layers")] == 3 * [n_models]
    assert counts["closing"] == counts["plot_validate"] == 1
    assert "planted_gap" not in counts


def test_the_taxonomy_can_be_planned_with_its_leakage(asked: Workspace) -> None:
    study = yaml.safe_load((asked.folder / "studies/taxonomy.yaml").read_text(encoding="utf-8"))
    planned = asked.run("-n", "--quiet", "rules", study=study).stdout
    counts = {rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", planned, flags=re.M)}
    n_tuned = len(study["validate"]["tuned"]["methods"]) + 4
    assert counts["tune_model"] == n_tuned
    assert counts["generate"] == counts["score_items"] == n_tuned + 3
    assert counts["planted_gap"] == counts["closing"] == counts["leak_rates"] == 1
