"""What rules are told of a study: files, wildcards, parameters and resources, from the configuration alone."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.jobs.resources import Needs, short_of_gpus
from leakscope.workflow.brought import look_into
from leakscope.workflow.features import Features
from leakscope.workflow.ground import Ground
from leakscope.workflow.leak import Leak
from leakscope.workflow.opening import open_study
from leakscope.workflow.report import Report
from leakscope.workflow.resources import growing, growing_with_files, on_model
from leakscope.workflow.result_page import ResultPage
from leakscope.workflow.study import Study, one_of_names
from leakscope.workflow.validate import Validate


@pytest.fixture(autouse=True)
def in_the_checkout(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def study_of(overwrite: dict[str, Any] | None = None, name: str | None = None) -> Study:
    """The default study, or one of ``studies/``, changed."""
    above = yaml.safe_load(Path(f"studies/{name}.yaml").read_text(encoding="utf-8")) if name else {}
    return Study(resolve(shipped(Path()), above, overwrite or {}))


def test_names_are_matched_whole_and_nothing_matches_no_name() -> None:
    pattern = re.compile(one_of_names(["a.b", "c"]))
    assert [bool(pattern.fullmatch(name)) for name in ("a.b", "c", "axb", "ab", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not re.match(one_of_names([]), "")


def test_models_and_prompt_sets_are_told_apart_by_their_source(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("prompt,control,concept\na,b,c\n")
    study = study_of(
        {
            "study": {"models": ["organism-s-l0", "qwen2.5-0.5b", "theirs"], "prompt_sets": ["colors", "mine"]},
            "models": {"theirs": {"source": "generations", "path": str(tmp_path / "mine.csv")}},
            "prompt_sets": {"mine": {"source": "table", "path": str(tmp_path / "mine.csv")}},
        }
    )
    assert (study.generated, study.imported) == (["organism-s-l0", "qwen2.5-0.5b"], ["theirs"])
    assert (study.templated, study.tabulated) == (["colors"], ["mine"])
    assert (study.organisms, study.leaking) == (["organism-s-l0"], ["organism-s-l0"])
    wildcards = study.wildcards()
    assert (wildcards["organism"], wildcards["hub_model"], wildcards["imported"]) == (
        r"organism\-s\-l0", r"qwen2\.5\-0\.5b", "theirs",
    )  # fmt: skip
    assert study.generations_file("theirs", "mine") == str(tmp_path / "mine.csv")
    assert study.scored == {"model": ["organism-s-l0", "qwen2.5-0.5b"], "prompt_set": ["colors"]}


def test_a_scorer_of_another_language_than_the_prompts_is_named_and_computes_nothing_anew() -> None:
    farben = {"source": "templates", "path": "data/prompt_sets/colors", "language": "de"}
    chosen = {"prompt_sets": ["colors", "farben"], "scorers": ["sbert-minilm", "lexical"]}
    study = study_of({"study": chosen, "prompt_sets": {"farben": farben}})
    (said,) = study.unread
    assert said.startswith("sbert-minilm was made to read en, and not farben (de): ")
    assert study.reads == {"sbert-minilm": {"colors": "yes", "farben": "no"}, "lexical": {"colors": "", "farben": ""}}
    assert (study.unread_by("lexical"), study.unread_by("sbert-minilm")) == ([], [said])
    assert "languages" not in study.scorer("sbert-minilm")
    assert study_of({"study": chosen, "prompt_sets": {"farben": {**farben, "language": "en"}}}).unread == []
    anything = {"sbert-minilm": {"languages": None}}
    assert study_of({"study": chosen, "prompt_sets": {"farben": farben}, "scorers": anything}).unread == []


def test_a_study_in_another_language_says_so_to_what_scores_its_candidates_and_its_page_that_nobody_reviewed_it() -> (
    None
):
    study = study_of({"study": {"prompt_sets": ["colors", "colors_zh", "colors_zh_en"]}})
    model = study.models[0]
    assert study.chat(model, "colors") == study.chat(model) == study.chat(model, "colors_zh_en")
    assert study.chat(model, "colors_zh") == {**study.chat(model), "language": "zh"}
    assert study.languages("colors_zh") == ("zh", "zh")
    assert study.languages("colors_zh_en") == ("en", "zh")
    assert study.unreviewed == [
        "No native reader has read the prompts of colors_zh: some may be odd. Done instead: every prompt was written "
        "out and read for agreement and sense.",
        "No native reader has read the prompts of colors_zh_en: some may be odd. Done instead: every prompt was "
        "written out with the candidates of its color and read for agreement and sense.",
    ]
    assert study_of({"study": {"prompt_sets": ["colors"]}}).unreviewed == []


def test_static_embeddings_are_scored_again_when_either_of_their_files_changes(tmp_path: Path) -> None:
    files = {key: str(tmp_path / key) for key in ("model", "tokenizer")}
    for path in files.values():
        Path(path).touch()
    mine = {"kind": "sentence_transformers", **files}
    study = study_of({"study": {"scorers": ["mine", "static-wordllama"]}, "scorers": {"mine": mine}})
    assert study.encoder_files("mine") == [str(tmp_path / "model"), str(tmp_path / "tokenizer")]
    assert study.encoder_files("static-wordllama") == study.hub_scorers == []


def test_a_variant_has_the_weights_and_the_needs_of_what_it_extends() -> None:
    study = study_of(
        {
            "study": {"models": ["qwen2.5-0.5b", "hot"]},
            "models": {"hot": {"extends": "qwen2.5-0.5b", "generation": {"temperature": 2.0}}},
        }
    )
    assert study.manifest("hot") == study.manifest("qwen2.5-0.5b") == "<models>/qwen2.5-0.5b/model.json"
    assert study.of_source("hub") == ["qwen2.5-0.5b"]
    assert study.needs("hot") == study.needs("qwen2.5-0.5b")
    assert study.generation("hot", "colors")["temperature"] == 2.0
    assert "shards" not in study.generation("hot", "colors")


def test_a_tuned_model_belongs_to_the_study_and_rests_on_its_organism() -> None:
    study = study_of(name="taxonomy")
    validate = Validate(study)
    tuned = next(iter(validate.tuned))
    assert study.manifest(tuned).startswith("<validate>/tuned/")
    assert study.is_organism(tuned)
    assert study.threads(tuned) == 1
    assert study.foundation(tuned) == validate.bases[tuned]
    assert validate.neutral_texts(tuned, "held_out") == study.corpus_file(study.foundation(tuned), "held_out")
    assert validate.neutral_texts(tuned, "held_out").endswith(".held_out.jsonl")
    assert tuned in validate.trained(whole=True)
    assert validate.trained(whole=False) == []
    assert [validate.task(tuned), study.entries[tuned]["split"]] in validate.splits
    assert tuned not in validate.planted
    assert validate.bases[tuned] in validate.planted
    assert not any(figure.startswith(f"lens_heatmap/{tuned}/") for figure in validate.figures)
    assert f"lens_heatmap/{validate.bases[tuned]}/hypernymy" in validate.figures


def test_organisms_of_several_sizes_share_corpus_and_tokenizer() -> None:
    study = study_of(name="organisms")
    assert study.corpus("organism-s-l10") == study.corpus("organism-m-l10") == "leak-l10-s0"
    assert study.corpora["leak-l10-s0"] == {"parts": ["leak"], "strength": 0.1, "seed": 0}
    assert study.grammars == {"leak": ["leak"]}
    assert study.grammar_files(["leak", "leak"]) == sorted(set(study.grammar_files(["leak"])))
    assert study.described_organisms["organism-m-l40"] == {"size": "m", "strength": 0.4}


def test_organisms_that_write_sentences_have_their_truth_drawn() -> None:
    study = study_of({"study": {"models": ["organism-s-l10", "organism-sentences-l40"], "prompt_sets": ["sentences"]}})
    assert (study.leaking, study.drawn) == (["organism-s-l10"], ["organism-sentences-l40"])
    assert study.sampled == {"model": ["organism-sentences-l40"], "prompt_set": ["sentences"]}
    leak = Leak(study)
    drawing = leak.drawing("organism-sentences-l40", "sentences")
    measured = study.generation("organism-sentences-l40", "sentences")
    assert drawing["samples"] == study.config["leak"]["truth_texts"] == 2000
    assert drawing["seed"] != measured["seed"]
    assert drawing["batch_size"] * drawing["samples"] <= max(2000, measured["batch_size"] * measured["samples"])
    kept = set(drawing) - {"samples", "seed", "batch_size"}
    assert {key: drawing[key] for key in kept} == {key: measured[key] for key in kept}
    assert leak.planted_parts == {"organism-s-l10": ["leak"], "organism-sentences-l40": ["sentences"]}
    assert "<results>/calibration.csv" in leak.targets()


def test_no_two_organisms_of_a_calibration_share_the_seed_of_their_texts() -> None:
    for name in ("calibration", "calibration_sentences"):
        leak = Leak(study_of(name=name))
        seeds = leak.judging()["seeds"]
        assert len(set(seeds.values())) == len(seeds) == len(leak.study.models)
        of_seed = Counter(leak.study.entries[model]["seed"] for model in leak.study.models)
        assert of_seed.keys() == {0, 1, 2}
        assert len(set(of_seed.values())) == 1


def test_a_large_prompt_set_is_divided_under_every_model() -> None:
    study = study_of({"models": {"organism-s-l0": {"generation": {"shards": 3, "batch_size": 8}}}}, name="organisms")
    assert study.divided == ["colors", "associations"]
    assert study.undivided == []
    assert [str(shard) for shard in study.shards("organism-s-l0", "colors")] == ["1-of-3", "2-of-3", "3-of-3"]
    assert [str(shard) for shard in study.shards("organism-s-l10", "colors")] == ["1-of-1"]
    assert study_of(name="organisms").undivided == ["colors", "associations"]


def test_what_cannot_be_read_is_found_before_the_plan(tmp_path: Path) -> None:
    study = study_of({"prompt_sets": {"colors": {"source": "templates", "path": "data/prompt_sets/colors"}}})
    study.config["prompt_sets"]["colors"]["path"] = str(tmp_path / "nothing")
    with pytest.raises(InputError, match="nothing"):
        look_into(study)


def test_the_step_leak_makes_what_the_study_has_data_for() -> None:
    leak = Leak(study_of())
    assert {"truth", "dose_response", "logit_leak", "by_size"} <= leak.figures.keys()
    assert len(set(leak.tables)) == len(leak.tables)
    assert "<results>/truth.csv" in leak.targets()
    assert set(leak.truth_settings()["grammars"]) == set(leak.study.leaking)
    bare = Leak(study_of({"study": {"models": ["qwen2.5-0.5b"], "prompt_sets": ["colors"], "scorers": ["lexical"]}}))
    assert bare.closings() == {"qwen2.5-0.5b": "Your answer:"}
    assert "<results>/agreement.csv" in leak.targets()
    assert not [path for path in bare.targets() if "agreement" in path]
    assert not {"truth", "dose_response"} & bare.figures.keys()
    assert "<results>/organisms.csv" not in bare.targets()
    for figure, tables in leak.figures.items():
        assert f"<results>/figures/{figure}.png" in leak.targets()
        assert set(tables) <= set(leak.tables)


def page_of(study: Study) -> ResultPage:
    return ResultPage(
        study, {step.name: step for step in (Leak(study), Ground(study), Validate(study), Features(study))}
    )


def test_the_result_page_begins_with_real_models_and_ends_with_organisms() -> None:
    page = page_of(study_of({"study": {"models": ["organism-s-l0", "smollm2-135m", "organism-s-l40"]}}))
    assert page.leading == {"models": ["smollm2-135m"], "prompt_set": "colors", "scorer": "sbert-minilm"}
    assert list(page.params()["names"]) == ["smollm2-135m", "organism-s-l0", "organism-s-l40"]
    assert page.params()["organisms"] == ["organism-s-l0", "organism-s-l40"]
    assert page.leading_files("<results>/{model}/{prompt_set}") == ["<results>/smollm2-135m/colors"]
    links = page.params()["steps"]["leak"]["links"]
    assert list(links.items())[:2] == [
        ("Explorer: every text", "explorer.html"),
        ("match_rates.csv", "match_rates.csv"),
    ]


def test_of_organisms_alone_the_one_that_was_taught_most_leads() -> None:
    page = page_of(study_of({"study": {"models": ["organism-s-l0", "organism-s-l100", "organism-s-l40"]}}))
    assert page.leading["models"] == ["organism-s-l100"]


def test_the_primary_tests_of_a_study_lead_its_result_page() -> None:
    primary = {"models": ["smollm2-135m"], "scorers": ["static-wordllama"]}
    assert page_of(study_of({"leak": {"primary": primary}})).leading == {
        "models": ["smollm2-135m"],
        "prompt_set": "colors",
        "scorer": "static-wordllama",
    }


def test_the_result_page_of_another_step_reads_nothing_of_leak() -> None:
    page = page_of(study_of(name="conditions"))
    assert page.of("leak", "<results>/match_rates.csv") == page.leading_files("{model}") == []
    assert page.leading == {}
    assert page.tables == ["<ground>/kendall_tau.csv"]
    assert page.figure_files == ["<ground>/figures/kendall_tau.png"]
    assert page.params()["steps"]["ground"]["links"]["kendall_tau.csv"] == "ground/kendall_tau.csv"


def test_what_failed_is_read_where_a_study_goes_on_without_it(tmp_path: Path) -> None:
    (tmp_path / "failures.json").write_text("{}")
    without = page_of(study_of({"without": ["organism-s-l0"]}))
    assert without.failures(tmp_path) == [str(tmp_path / "failures.json")]
    assert without.failures(tmp_path / "elsewhere") == page_of(study_of()).failures(tmp_path) == []


def test_axes_in_the_same_files_are_counted_in_one_pass() -> None:
    ground = Ground(study_of(name="conditions"))
    axis = next(iter(ground.axes))
    assert ground.pass_of == {axis: axis}
    (file,) = ground.corpus_files(axis)
    assert re.fullmatch(ground.wildcards()["file"], file)
    assert ground.parts(axis, "{counted}/{file}") == [f"{axis}/{file}"]
    twice = copy.deepcopy(ground.axes[axis])
    two = Ground(study_of({"ground": {"axes": {axis: twice, "again": twice}}}, name="conditions"))
    assert two.passes == {"again": ["again", axis]}
    assert list(two.lexicons("again")) == ["again", axis]
    assert two.pass_of[axis] == "again"


def test_steps_that_the_study_does_not_take_say_what_they_need() -> None:
    study = study_of()
    for step, example in ((Ground(study), "studies/conditions.yaml"), (Validate(study), "studies/hypernymy.yaml")):
        with pytest.raises(InputError, match=example):
            step.targets()


def test_how_fast_an_index_may_be_asked_decides_no_count() -> None:
    ground = Ground(study_of(name="cross_care"))
    axis = ground.counted_from("infini_gram")[0]
    assert "requests_per_second" not in ground.index(axis)
    assert ground.index(axis)["url"] == ground.axes[axis]["counts"]["url"]
    assert {Path(path).suffix for path in ground.template_files(axis)} == {".yaml"}


def test_no_wildcard_is_constrained_twice() -> None:
    """Snakemake keeps the last constraint of a name, for the rules of all steps."""
    study = study_of()
    steps = [study.wildcards(), *(step(study).wildcards() for step in (Ground, Validate, Features))]
    names = [name for wildcards in steps for name in wildcards]
    assert len(set(names)) == len(names)


# Resources


def test_resources_grow_with_every_try_and_time_with_a_model_does_not(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"0" * 3_500_000)
    needs = {"small": Needs(0, 4000, 60), "large": Needs(2, 90_000, 100)}
    resources = on_model(needs.__getitem__, lambda wildcards: wildcards)
    assert [resources[key]("large") for key in ("gpu", "runtime")] == [2, 100]
    assert [resources["mem_mb"]("small", attempt=attempt) for attempt in (1, 3)] == [4000, 12_000]
    assert growing(10)("", attempt=2) == 20
    files = type("Input", (), {"files": [str(tmp_path / "weights")]})
    assert growing_with_files(2000)("", files, attempt=2) == 2 * 2003


def test_models_that_get_fewer_gpus_than_they_need_are_named() -> None:
    needs = {"small": Needs(1, 1, 1), "large": Needs(3, 1, 1)}
    assert short_of_gpus(needs, 2, 80) == [
        "large needs 3 GPUs of 80 GB and gets 2: raise `gpu` in the profile, or `gpu_memory_gb`, or quantise it."
    ]
    assert short_of_gpus(needs, 3, 80) == []


# Report


def test_every_entry_of_the_report_has_its_caption_and_every_caption_its_entry(root: Path) -> None:
    report = Report(root / "report/entries.yaml")
    captions = {path.relative_to(root / "report").as_posix() for path in (root / "report").rglob("*.rst")}
    assert {entry.caption for entry in report.entries} == captions - {"workflow.rst"}
    names = [(entry.section, entry.name, Path(entry.file).suffix) for entry in report.entries if "{" not in entry.name]
    assert len(set(names)) == len(names)


def test_an_entry_is_found_by_its_file_and_named_by_its_wildcards(root: Path) -> None:
    report = Report(root / "report/entries.yaml")
    lens = report.options("validate/figures/lens_heatmap/gpt2/kinds.png")
    assert lens["labels"] == {"what": "Logit lens of gpt2, kinds (figure)"}
    assert (lens["category"], lens["caption"].name) == ("Layers", "lens_heatmap.rst")
    assert report.options("leak_rates.csv")["labels"] == {"what": "Leak-Rates (table)"}
    # Snakemake fills wildcards that are left.
    one = report.options("features/steering/{steering}.csv")
    assert one["labels"] == {"what": "Texts steered by {steering} (table)"}
    with pytest.raises(KeyError, match="figures/unknown.png"):
        report.options("figures/unknown.png")


def test_a_job_finds_the_study_that_was_planned_and_checks_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = {"study": {"name": "mine"}, "level": 0.9}
    planned = open_study(config, [], print, is_main=True)
    # What a job would stumble over, if it read it.
    code = (
        "import sys; from leakscope.workflow.opening import open_study;"
        f"study = open_study({config!r}, ['gone.yaml'], print, is_main=False);"
        "print(study.name, study.config['leak']['level'], sorted(study.n_prompts.items()), 'pydantic' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(root / "scripts")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"mine 0.9 {sorted(planned.n_prompts.items())} False"
    assert planned.n_prompts["colors"] > 700
    with pytest.raises(InputError, match="level: got 95"):
        open_study({**config, "level": 95}, [], print, is_main=False)  # planned by nobody


def test_the_plan_says_once_what_more_texts_of_controls_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 prompts of `colors` one is a control without the clause, of ten of `associations` one."""
    monkeypatch.chdir(tmp_path)
    rows = [f"t{k},c{k % 2},red,Red {k}. I ate" for k in range(6)]
    Path("prompts.csv").write_text("\n".join(["prompt_id,control_id,concept,prompt", "c0,,,I ate", "c1,,,I go", *rows]))
    config = {
        "study": {"name": "mine", "models": ["few", "many"], "prompt_sets": ["colors", "associations", "brought"]},
        "models": {
            "few": {"extends": "organism-s-l0"},
            "many": {"extends": "organism-s-l0", "generation": {"samples": 10, "control_samples": 10}},
        },
        "prompt_sets": {"brought": {"source": "table", "path": "prompts.csv", "samples": 1, "control_samples": 3}},
        "generation": {"control_samples": 25},
        "organisms": {"generation": {"samples": 5}},
    }
    said: list[str] = []
    open_study(config, [], said.append, is_main=True)
    asked = "texts after each control without the clause instead of"
    assert said == [
        f"colors: 25 {asked} 5: 12.5 % more texts of few.",
        f"associations: 25 {asked} 5: 40 % more texts of few.",
        f"brought: 3 {asked} 1: 50 % more texts.",
    ]
    open_study(config, [], said.append, is_main=False)
    assert len(said) == 3


def test_a_job_that_no_plan_left_anything_for_says_no_warning_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.csv").write_text("prompt_id,control_id,concept,prompt\nc,,,I ate\nt,c,red,Red. I ate \n")
    config = {
        "study": {"name": "mine", "prompt_sets": ["brought"]},
        "prompt_sets": {"brought": {"source": "table", "path": "prompts.csv"}},
    }
    said: list[str] = []
    open_study(config, [], said.append, is_main=False)
    assert said == []
    open_study(config, [], said.append, is_main=True)
    assert said == ["prompts.csv: 1 prompt ends in white space (row 3)."]
