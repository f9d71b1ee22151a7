"""What the step features leaves for a person, and what its jobs are given, from the configuration alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.workflow.features import Features
from leakscope.workflow.study import Study

Config = dict[str, Any]
OCCUPATIONS = "studies/occupations.yaml"


@pytest.fixture
def opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Features]:
    """Return a function that opens a study of the checkout, with some keys changed."""
    monkeypatch.chdir(root)

    def open_study(file: str = OCCUPATIONS, changes: Config | None = None, without: tuple[str, ...] = ()) -> Features:
        study: Config = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        for key in without:
            del study["features"][key]
        update_config(study, changes or {})
        return Features(Study(resolve(shipped(Path()), study)))

    return open_study


@pytest.fixture
def occupations(opened: Callable[..., Features]) -> Features:
    return opened()


# What there is


def test_a_control_is_a_dictionary_of_a_randomised_model(occupations: Features) -> None:
    assert occupations.controls == ["l80-control"]
    assert occupations.model(dictionary="l80-control") == "occupations-l80.randomised"
    assert {name: entry["randomised"] for name, entry in occupations.described().items()} == {
        "l40": False, "l80-control": True, "l80.s0": False, "l80.s1": False, "l80.s2": False,
    }  # fmt: skip


def test_a_control_is_contrasted_and_not_edited(occupations: Features) -> None:
    assert list(zip(*occupations.contrasted.values(), strict=True)) == [
        ("l40", "gender"),
        ("l80-control", "gender"),
        ("l80.s0", "colors"),  # it alone is tried against colors
        ("l80.s0", "gender"),
        ("l80.s1", "gender"),
        ("l80.s2", "gender"),
    ]
    assert "l80-control" not in occupations.editable["dictionary"]
    assert len(occupations.editable["contrast"]) == 5


def test_the_gap_of_a_contrast_is_known_where_the_organism_was_taught_it(occupations: Features) -> None:
    # What colors leak was taught, too, and has no gap in closed form.
    assert occupations.planted == {
        "dictionary": ["l40", "l80.s0", "l80.s1", "l80.s2"],
        "contrast": ["gender"] * 4,
    }
    assert {name: entry["parts"] for name, entry in occupations.planted_in.items()} == {
        "occupations-l40": ["occupations"],
        "occupations-l80": ["occupations"],
    }


def test_dictionaries_of_one_site_share_its_activations(occupations: Features) -> None:
    assert occupations.seeded == ["l80.s0", "l80.s1", "l80.s2"]
    assert {occupations.site(name) for name in occupations.seeded} == {"occupations-l80.L1.own"}
    assert occupations.site("l80-control") == "occupations-l80.randomised.L1.own"
    activations = occupations.targets("activations")
    assert len(activations) == len(set(activations)) == 3 * 2 * len(occupations.shards)


def test_a_local_dictionary_may_leave_its_layer_to_its_metadata(
    opened: Callable[..., Features], tmp_path: Path
) -> None:
    (tmp_path / "cfg.json").write_text('{"hook_name": "blocks.1.hook_resid_pre"}')
    (tmp_path / "sae_weights.safetensors").touch()
    saved = {"source": "local", "model": "occupations-l40", "path": str(tmp_path)}
    features = opened(changes={"features": {"dictionaries": {"saved": saved}}})
    assert (features.layer("saved"), features.site("saved")) == (1, "occupations-l40.L1.own")


def test_an_edited_model_is_made_from_what_was_chosen_or_from_named_features(opened: Callable[..., Features]) -> None:
    named = {"source": "edited", "base": "occupations-l40", "dictionary": "l40", "features": [3]}
    features = opened(
        changes={"models": {"named": named}, "study": {"models": ["occupations-l80.ungendered", "named"]}}
    )
    assert set(features.edited) == {"occupations-l80.ungendered", "named"}
    assert features.chosen_for("occupations-l80.ungendered") == {"dictionary": ["l80.s0"], "contrast": ["gender"]}
    assert features.named_by("occupations-l80.ungendered") == []
    assert features.chosen_for("named") == {"dictionary": [], "contrast": []}
    assert features.named_by("named") == ["l40"]


# What jobs are given


def test_a_job_is_about_a_dictionary_or_a_steering_of_one(opened: Callable[..., Features]) -> None:
    pushed = {"dictionary": "l40", "feature": 3, "prompt": "The nurse"}
    features = opened(changes={"features": {"steering": {"pushed": pushed}}})
    assert features.model(steering="pushed") == features.model(dictionary="l40", contrast="gender") == "occupations-l40"
    model = features.study.needs("occupations-l40")
    assert features.needs_of_training("occupations-l40") == model._replace(gpus=0)
    assert features.needs_of_effects("occupations-l40").minutes == 4 * model.minutes
    assert features.targets("steering") == ["<features>/steering/pushed.csv"]


def test_an_organism_reads_its_own_corpus_and_others_theirs(
    occupations: Features, opened: Callable[..., Features]
) -> None:
    corpus = "<models>/corpora/leak+occupations-l80-s0"
    assert occupations.texts("occupations-l80.randomised", "own", "train") == [f"{corpus}.jsonl"]
    assert occupations.neutral_text("occupations-l80") == f"{corpus}.held_out.jsonl"
    assert occupations.source("own")["text"] is None
    gpt2 = opened("studies/gpt2_gender.yaml")
    assert gpt2.texts("gpt2", "neutral", "held_out") == ["data/validate/neutral.txt"]
    assert gpt2.source("neutral") == {"is_own": False, "text": "text", "context_length": 128}
    assert gpt2.neutral_text("gpt2") == "data/validate/neutral.txt"


def test_prompts_are_put_to_a_model_as_it_generates_and_other_texts_as_they_are(occupations: Features) -> None:
    assert occupations.prompting("occupations-l80", "gender") == {}
    assert set(occupations.prompting("occupations-l80", "colors")) == {"system", "template", "max_new_tokens"}
    assert occupations.contrast_files("colors") == [
        "<results>/prompts/colors.parquet",
        "<results>/prompts/colors.candidates.parquet",
    ]
    assert occupations.contrast_files("gender")[0] == "data/features/gender/contrast.yaml"


def test_remarks_decide_no_result(opened: Callable[..., Features]) -> None:
    contrast = {"source": "templates", "path": "data/features/gender/contrast.yaml", "dictionaries": ["l40", "l80.s0"]}
    features = opened(changes={"features": {"contrasts": {"gender": {**contrast, "description": "he or she"}}}})
    assert features.contrast("gender") == {"source": "templates", "path": contrast["path"]}


# Pages and figures


def test_the_first_page_is_no_controls_and_links_to_all(opened: Callable[..., Features]) -> None:
    main = {"source": "trained", "model": "occupations-l40", "layer": 1}
    control = {**main, "model": "occupations-l80.randomised"}
    changes = {
        "features": {"dictionaries": {"a-control": control, "main": main}},
        "study": {"models": ["occupations-l40"]},
    }
    features = opened(changes=changes, without=("dictionaries", "contrasts"))
    assert features.first == "main"
    assert features.targets("pages") == ["<features>/dictionaries/a-control/index.html", "<features>/index.html"]
    assert features.pages("main") == {"a-control": "dictionaries/a-control/index.html", "main": "index.html"}
    assert features.pages("a-control") == {"a-control": "index.html", "main": "../../index.html"}


def test_figures_are_those_that_the_study_has_data_for(occupations: Features, opened: Callable[..., Features]) -> None:
    assert list(occupations.figures) == [
        "quality", "firing_density", "polysemanticity", "seed_agreement", "effects", "effects_by_item", "truth",
        "edited",
    ]  # fmt: skip
    assert list(opened("studies/gpt2_gender.yaml").figures) == [
        "quality", "firing_density", "polysemanticity", "effects", "effects_by_item", "edited",
    ]  # fmt: skip


def test_each_drawn_table_has_its_file(opened: Callable[..., Features]) -> None:
    features = opened("studies/gpt2_gender.yaml")
    assert {name: features.table(name) for name in features.tables} == {
        "quality": "<features>/quality.csv",
        "dictionaries/res-jb": "<features>/dictionaries/res-jb/features.parquet",
        "effects": "<features>/effects.csv",
        "effects_by_item": "<features>/effects_by_item.csv",
        "edited": "<features>/edited.csv",
    }


def test_figures_know_what_dictionaries_and_models_are_called(occupations: Features) -> None:
    context: Any = occupations.context
    assert context["dictionaries"]["l80"] == "l80"
    assert context["dictionaries"]["l80.s1"] == "l80, seed 1"
    assert context["families"] == dict.fromkeys(["l80.s0", "l80.s1", "l80.s2"], "l80")
    assert context["labels"]["occupations-l80.ungendered"] == "occupations-l80.ungendered"
    assert context["randomised"] == ["l80-control"]


# Targets


def test_all_targets_are_those_of_the_parts_and_the_tables_of_the_whole(occupations: Features) -> None:
    targets = occupations.targets()
    assert {file for part in ("quality", "effects", "pages") for file in occupations.targets(part)} <= set(targets)
    for file in ("quality.csv", "edited.csv", "edited/occupations-l80.ungendered/model.json", "figures/truth.pdf"):
        assert f"<features>/{file}" in targets


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("selection", "features.contrasts: got nothing; allowed: at least one contrast."),
        ("effects", "features.contrasts: got nothing; allowed: at least one contrast, and a dictionary that is no co"),
        ("steering", "features.steering: got nothing; allowed: at least one, in a file or by --config"),
        ("bias", "features.benchmarks: got nothing; allowed: at least one data set that you bring."),
    ],
)
def test_a_part_of_which_there_is_nothing_says_what_it_needs(
    opened: Callable[..., Features], part: str, expected: str
) -> None:
    features = opened(changes={"study": {"models": ["occupations-l40", "occupations-l80"]}}, without=("contrasts",))
    assert not features.compares_edited
    with pytest.raises(InputError) as caught:
        features.targets(part)
    assert str(caught.value).startswith(expected)
    assert features.targets("quality")


def test_a_study_without_the_step_has_none_of_it(opened: Callable[..., Features]) -> None:
    changes = {"study": {"steps": ["leak"], "models": ["occupations-l80"]}}
    features = opened(changes=changes)
    assert not features.dictionaries
    assert (features.first, features.edited, features.bias_tests) == ("", {}, {})
    with pytest.raises(InputError, match="study.steps: got no step features"):
        features.targets("quality")
