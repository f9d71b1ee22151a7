"""What is said of a study's axes before any job is planned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from leakscope.configuration.resolving import resolve
from leakscope.configuration.steps import uses
from leakscope.errors import InputError

Config = dict[str, Any]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A study of an organism and of imported scores on one axis; its files are in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("leakscope.files.finding.CHECKOUT", tmp_path)
    Path("data/grammar/conditions").mkdir(parents=True)
    Path("subjects.csv").write_text("id,name,variants,name_es\nflu,flu,,gripe\n")
    Path("groups.csv").write_text("id,name,variants,name_es\ntall,tall,,altos\n")
    Path("names.csv").write_text("code,name\n1,flu\n")
    for file in ("scores.json", "counts.csv", "prevalence.csv", "corpus.jsonl"):
        Path(file).touch()
    Path("templates").mkdir()
    for language in ("en", "es"):
        content = {"language": language, "templates": [{"id": "t", "text": "{group} {subject}."}]}
        Path(f"templates/{language}.yaml").write_text(yaml.safe_dump(content))
    return {
        "study": {"name": "mine", "models": ["small", "read"], "steps": ["ground"]},
        "models": {
            "small": {"source": "organism", "size": "s", "grammar": {"parts": ["conditions"], "strength": 1}},
            "read": {"source": "scores", "path": {"people": "scores.json"}},
            "texts": {"source": "generations", "path": "counts.csv"},
        },
        "organisms": {"sizes": {"s": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}}},
        "ground": {
            "templates_used": 1,
            "axes": {
                "people": {
                    "lexicons": {"subjects": "subjects.csv", "groups": "groups.csv"},
                    "templates": "templates",
                    "counts": {"source": "corpus", "path": "corpus.jsonl"},
                    "prevalence": {"path": "prevalence.csv"},
                    "names": "names.csv",
                }
            },
        },
    }


def put(config: Config, path: str, value: Any) -> Config:
    """Return the configuration with one key changed; None takes it away."""
    *outer, last = path.split("/")
    place = config
    for key in outer:
        place = place.setdefault(key, {})
    if value is None:
        place.pop(last)
    else:
        place[last] = value
    return config


def test_a_study_of_rankings_needs_no_prompts_and_no_scorers(config: Config) -> None:
    resolved = resolve(config, {})
    assert resolved["study"]["prompt_sets"] == []
    axis = resolved["ground"]["axes"]["people"]
    assert axis["counts"] == {"source": "corpus", "path": "corpus.jsonl", "text": "text"}
    assert axis["prevalence"] == {"path": "prevalence.csv", "per": 10_000, "source": None}
    assert resolved["ground"]["windows"] == [10, 50, 100, 250]


def test_a_study_that_names_axes_has_these_alone(config: Config) -> None:
    axis = config["ground"]["axes"]["people"]
    config["ground"]["axes"] = {"theirs": axis, "people": axis}
    written = {"ground": {"axes": {"people": axis}}}
    assert set(resolve(config, written)["ground"]["axes"]) == {"people"}


def test_codes_that_look_like_numbers_are_names(config: Config) -> None:
    put(config, "ground/axes/people/rename", {91302008: "flu"})
    put(config, "ground/axes/people/counts", {"source": "table", "path": {10: "counts.csv"}})
    axis = resolve(config, {})["ground"]["axes"]["people"]
    assert axis["rename"] == {"91302008": "flu"}
    assert axis["counts"]["path"] == {"10": "counts.csv"}


def test_paths_may_hold_environment_variables(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", ".")
    put(config, "ground/axes/people/names", "$MINE/names.csv")
    put(config, "models/read/path", {"people": {"en": "$MINE/scores.json"}})
    resolved = resolve(config, {})
    assert resolved["ground"]["axes"]["people"]["names"] == "./names.csv"
    assert resolved["models"]["read"]["path"] == {"people": {"en": "./scores.json"}}


def test_each_step_leaves_out_what_it_has_no_use_for(config: Config) -> None:
    models = {**resolve(config, {})["models"], "texts": config["models"]["texts"]}
    used = {step: [name for name, entry in models.items() if uses(step, entry, config)] for step in ("leak", "ground")}
    assert used == {"leak": ["small", "texts"], "ground": ["read", "small"]}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("ground/axes", {}, "config: ground.axes: got nothing; allowed: at least one axis"),
        ("ground/axes/people/counts", None, "config: ground.axes.people.counts: got nothing; allowed: a mapping with"),
        (
            "ground/axes/people/counts/source",
            "pile",
            "counts.source: got 'pile'; allowed: corpus, infini_gram, organism",
        ),
        ("ground/axes/people/counts/window", 3, "counts.window: got an unknown key"),
        ("ground/axes/people/counts/path", "nowhere", "nowhere: got no file of a corpus"),
        (
            "ground/axes/people/counts",
            {"source": "table", "path": "no.csv"},
            "counts.path: got 'no.csv'; allowed: a file",
        ),
        (
            "ground/axes/people/counts",
            {"source": "organism", "model": "smal"},
            "got 'smal'; allowed: small. Did you mean",
        ),
        (
            "ground/axes/people/counts",
            {"source": "infini_gram", "index": "v4", "url": "http://me:s3cret@host"},
            "config: ground.axes.people.counts.url: got an address with a user or password before @; allowed: one with",
        ),
        ("ground/axes/people/counts", {"source": "table", "path": {"ten": "counts.csv"}}, "a number of words"),
        ("ground/axes/people/prevalence/path", "no.csv", "prevalence.path: got 'no.csv'"),
        ("ground/axes/people/names", "no.csv", "names: got 'no.csv'"),
        ("ground/axes/people/lexicons", None, "lexicons: got nothing; allowed: a path, because small scores sentences"),
        ("ground/axes/people/lexicons/groups", "no.csv", "no.csv: got no such file"),
        ("ground/axes/people/exclude", ["fluu"], "people.exclude: got 'fluu'; allowed: flu. Did you mean 'flu'?"),
        ("ground/axes/people/rename", {"cold": "fluu"}, "people.rename: got 'fluu'; allowed: flu"),
        ("ground/axes/people/groups", {"high": "talll"}, "people.groups: got 'talll'; allowed: tall"),
        ("ground/axes/people/templates", None, "templates: got nothing; allowed: a path"),
        ("ground/templates_used", 2, "templates/en.yaml: got 1 template; allowed: at least 2"),
        ("ground/languages", ["fr"], "templates/fr.yaml: got no such file"),
        ("ground/languages", ["English"], "config: ground.languages.0: got 'English'"),
        ("ground/country", "Peru", "templates/en.yaml: prefix: got nothing"),
        ("ground/window", 2000, "config: ground.window: got 2000; allowed: a whole number"),
        ("ground/score", "pmi", "config: ground.score: got 'pmi'; allowed: logprob, for imported scores."),
        ("ground/aligned_pairs", {"small": "larger"}, "config: ground.aligned_pairs.small: got 'larger'"),
        ("models/read/path", {"other": "scores.json"}, "config: models.read.path.people: got nothing; allowed: a file"),
        (
            "models/read/path",
            {"people": {"es": "scores.json"}},
            "config: models.read.path.people: got 'es'; allowed: en",
        ),
        ("models/read/path", {"people": "no.json"}, "config: models.read.path.people: got 'no.json'; allowed: a file"),
        (
            "study/models",
            ["texts"],
            "config: study.models: got texts; allowed: at least one model for the step ground.",
        ),
        ("study/steps", ["leak", "ground"], "config: study.prompt_sets: got nothing"),
    ],
)
def test_a_mistake_is_one_line(config: Config, path: str, value: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(put(config, path, value), {})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_lexicon_is_one_line_before_any_job_is_planned(config: Config) -> None:
    Path("subjects.csv").write_text("id,name,variants\nflu,flu,gout\ngout,gout,\n")
    with pytest.raises(InputError, match=r"subjects.csv, row 3: got 'gout' for 'gout', already a term of 'flu'"):
        resolve(config, {})


def test_a_term_on_both_sides_of_an_axis_is_refused(config: Config) -> None:
    Path("groups.csv").write_text("id,name,variants\ntall,tall,Flu\n")
    with pytest.raises(
        InputError, match=r"groups.csv: got 'flu' for 'tall', which is also a term of 'flu' in subjects.csv"
    ):
        resolve(config, {})


def test_planning_imports_nothing_heavy(root: Path) -> None:
    code = (
        "import sys, leakscope.configuration.resolving, leakscope.configuration.checks_ground;"
        "print([name for name in ('pandas', 'numpy', 'torch', 'scipy', 'httpx2') if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=root / "scripts", capture_output=True, text=True)
    assert process.stdout.strip() == "[]", process.stderr
