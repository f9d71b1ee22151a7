"""Two results side by side: settings first, then what can be paired, and why the rest cannot."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.packing.packs import write_pack
from leakscope.results.card_file import write_card
from leakscope.results.comparing.differences import paired_differences
from leakscope.results.comparing.document import comparison, difference_sentence
from leakscope.results.comparing.settings import setting_differences
from leakscope.results.comparing.sides import ComparedSide, card_side, read_side, study_side
from leakscope.results.document import as_markdown
from test_card import SETTINGS, a_card, unit_table

# Two templates in which both sides tell texts apart as often; three in which a does so by 50, 25 and 25 points more.
A = {"t1": 0.5, "t2": 0.75, "t3": 1.0, "t4": 0.75, "t5": 0.5}
B = {"t1": 0.5, "t2": 0.75, "t3": 0.5, "t4": 0.5, "t5": 0.25}


def side(folder: Path, name: str, changes: dict[str, Any] | None = None, **match: float) -> ComparedSide:
    """A card of the model ``m``, written and read again."""
    card = a_card(**match)
    settings = copy.deepcopy(SETTINGS) | (changes or {})
    write_card(card.model_copy(update={"study": name, "settings": settings}), folder / f"{name}.json")
    return card_side(folder / f"{name}.json")


def study(folder: Path, name: str = "x", **match: float) -> Path:
    """The results of a study of one model, as far as they are compared."""
    path = folder / "results" / name
    (path / "matching/p").mkdir(parents=True)
    (path / "provenance.json").write_text(json.dumps({**SETTINGS, "study": name}))
    unit_table(**match).assign(name_wins=None).to_parquet(path / "matching/p/s.parquet")
    (path / "matching/p/s.texts.parquet").write_text("no table of units")
    return path


def test_a_known_difference_has_its_numbers(tmp_path: Path) -> None:
    table = paired_differences(side(tmp_path, "a", **A), side(tmp_path, "b", **B))
    (row,) = table.to_dict("records")
    assert [row[key] for key in ("n_units", "n_unmatched", "n_differing", "n_clusters")] == [5, 0, 3, 5]
    # 100 × 3.5 / 5, 100 × 2.5 / 5 and their difference.
    assert (row["rate_a"], row["rate_b"], row["difference"]) == (70.0, 50.0, 20.0)
    # Of the 2^5 patterns of signs those that leave 100 points or turn them round: the signs of the zeros are free.
    assert row["p_value"] == 8 / 32
    assert row["ci_low"] < 20 < row["ci_high"]
    assert row["family"] == "primary"
    assert pd.isna(row["not_paired"])


def test_other_units_are_left_out_and_counted(tmp_path: Path) -> None:
    (row,) = paired_differences(side(tmp_path, "a", **A), side(tmp_path, "b", t1=0.5, t9=1.0)).to_dict("records")
    assert [row[key] for key in ("n_units", "n_unmatched", "n_differing")] == [1, 5, 0]
    assert (row["rate_a"], row["rate_b"]) == (50.0, 50.0)


def test_models_without_a_common_unit_are_not_paired(tmp_path: Path) -> None:
    a, b = side(tmp_path, "a", **A), side(tmp_path, "b", t9=1.0)
    assert paired_differences(a, b)["not_paired"].tolist() == ["no unit in common"]
    models = ["m", "n"]
    lacking = a._replace(models=models)
    both = a._replace(models=models, units=pd.concat([a.units, a.units.assign(model="n")]))
    table = paired_differences(lacking, both)
    assert table.loc[table["model_a"] == "n", "not_paired"].tolist() == ["the model of A has no outcomes of it"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"prompt_sets": {"p": {"sha256": "2" * 64}}}, "other prompts: SHA-256 111111111111 and 222222222222"),
        ({"prompt_sets": {}}, "other prompts: SHA-256 111111111111 and not known"),
        ({"scorers": {"s": {"commit": "abc"}}}, "another scorer of the same name: see the settings"),
    ],
)
def test_what_is_not_the_same_is_not_paired(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    a, b = side(tmp_path, "a", **A), side(tmp_path, "b", changes, **B)
    table = paired_differences(a, b)
    assert table["not_paired"].tolist() == [why]
    assert table["difference"].isna().all()
    said = as_markdown(comparison(a, b, setting_differences(a, b), table))
    assert f"| m | p | s | {why} |" in said
    assert "and nothing could be paired." in said


@pytest.mark.parametrize(
    ("part", "value"),
    [("leak", {"permutations": 9}), ("leak", {"level": "x", "permutations": 9}), ("study", {}), ("scorers", {"s": 4})],
)
def test_settings_without_what_is_compared_are_one_line(tmp_path: Path, part: str, value: Any) -> None:
    with pytest.raises(InputError, match=r"got settings without a part \(.*\); allowed: settings that leakscope wrote"):
        side(tmp_path, "a", {"configuration": {**SETTINGS["configuration"], part: value}})


def test_a_scorer_with_other_settings_is_another_scorer(tmp_path: Path) -> None:
    configuration = copy.deepcopy(SETTINGS["configuration"])
    configuration["scorers"]["s"] |= {"kind": "bert_score", "label": "of no account"}
    a, b = side(tmp_path, "a", **A), side(tmp_path, "b", {"configuration": configuration}, **A)
    assert "another scorer" in paired_differences(a, b)["not_paired"].item()
    assert setting_differences(a, b).to_numpy().tolist() == [
        ["configuration", "scorers.s.kind", "lexical", "bert_score"]
    ]


def test_settings_come_first_and_one_model_is_compared_with_the_other_whatever_their_names(tmp_path: Path) -> None:
    a, b = side(tmp_path, "a", **A), side(tmp_path, "b", **B)
    configuration = {**SETTINGS["configuration"], "models": {"n": {"source": "local", "generation": {"samples": 5}}}}
    configuration |= {"study": {"models": ["n"]}}
    settings = {**SETTINGS, "configuration": configuration, "models": {"n": {"weights_sha256": "9" * 64}}}
    other = ComparedSide("b", settings, ["n"], [], b.units.assign(model="n"))
    found = setting_differences(a, other)
    assert found[["key", "a", "b"]].to_numpy().tolist() == [
        ["models.the model.generation.samples", "3", "5"],
        ["the model.weights_sha256", "0" * 64, "9" * 64],
    ]
    said = as_markdown(comparison(a, other, found, paired_differences(a, other)))
    assert said.index("What differs in settings") < said.index("What differs in match rates")
    assert "**2 settings differ; of 1 paired match rate, some differ.**" in said
    assert "m (A) and n (B) on p by s: 70.0 and 50.0 of 100 pairs are matched, a difference of 20.0 points" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "A leaks more"),
        ({"rate_a": 45.0, "rate_b": 25.0}, "A is higher, and neither is above chance"),
        ({"ci_low": -30.0, "ci_high": -10.0}, "B leaks more"),
        ({"ci_low": -1.0}, "which of them leaks more cannot be told"),
        ({"n_clusters": 9}, "too few templates to tell"),
        ({"scorer_reads": "no"}, "the scorer does not read this language"),
    ],
)
def test_what_a_difference_says_follows_from_its_interval(changes: dict[str, Any], said: str) -> None:
    row = {"model_a": "m", "model_b": "m", "prompt_set": "p", "scorer": "s", "n_clusters": 10, "n_differing": 3}
    row |= {"rate_a": 70.0, "rate_b": 50.0, "difference": 20.0, "ci_low": 10.0, "ci_high": 30.0, "scorer_reads": "yes"}
    assert difference_sentence(row | changes).endswith(f"): {said}.")


def test_a_scorer_that_does_not_read_the_language_is_known_of_cards_and_folders(tmp_path: Path) -> None:
    folder = study(tmp_path, **B)
    rates = "model,prompt_set,scorer,category,scorer_reads\nm,p,s,all,{}\n"
    for word in ("no", "yes"):
        (folder / "match_rates.csv").write_text(rates.format(word))
        table = paired_differences(side(tmp_path, "a", **A), study_side(folder))  # a card says yes
        assert table["scorer_reads"].tolist() == [word]


def test_two_that_are_the_same_differ_in_nothing(tmp_path: Path) -> None:
    a, b = side(tmp_path, "a", **A), side(tmp_path, "b", **A)
    table = paired_differences(a, b)
    assert (table["difference"] == 0).all()
    assert "**Nothing differs.**" in as_markdown(comparison(a, b, setting_differences(a, b), table))


def test_differences_that_cancel_are_differences(tmp_path: Path) -> None:
    a, b = side(tmp_path, "a", t1=0.5, t2=1.0), side(tmp_path, "b", t1=1.0, t2=0.5)
    table = paired_differences(a, b)
    assert table["difference"].tolist() == [0]
    said = as_markdown(comparison(a, b, setting_differences(a, b), table))
    assert "Nothing differs" not in said
    assert "too few templates to tell" in said


def test_a_card_is_compared_with_a_folder_and_a_folder_with_its_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = study(tmp_path, **B)
    (row,) = paired_differences(side(tmp_path, "a", **A), study_side(folder)).to_dict("records")
    assert (row["rate_a"], row["rate_b"], row["difference"]) == (70.0, 50.0, 20.0)
    pack = write_pack("x").path
    packed = read_side(str(pack), "B")
    pd.testing.assert_frame_equal(packed.units, study_side(folder).units)
    assert packed.settings == study_side(folder).settings
    with zipfile.ZipFile(pack, "a") as archive:
        archive.writestr("../outside", "x")
    with pytest.raises(InputError, match="outside"):
        read_side(str(pack), "B")


def test_models_that_one_side_lacks_are_named(tmp_path: Path) -> None:
    a = side(tmp_path, "a", **A)
    both = ComparedSide("b", a.settings, ["m", "n"], [], pd.concat([a.units, a.units.assign(model="n")]))
    table = paired_differences(a, both)
    assert table["model_b"].tolist() == ["m", "n"]
    assert table["not_paired"].tolist() == [np.nan, "only B has outcomes of this model"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "A=: got nothing; allowed: results/<study>, a pack"),
        ("nowhere", "A=nowhere: got nothing of that name; allowed: "),
        ("x.txt", "A=x.txt: got a file of another kind; allowed: "),
        ("empty", "empty: got no provenance.json; allowed: a study that ran to its end"),
        ("x.json", "x.json: "),
        ("x.zip", "x.zip: "),
    ],
)
def test_what_cannot_be_compared_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.txt", "x.json", "x.zip"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as error:
        read_side(given, "A")
    assert str(error.value).startswith(said)
