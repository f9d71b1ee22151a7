"""Prompts that are made so that a concept has others to be told apart from, and tables without any control."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.leak import imported_texts, partners
from leakscope.leak import pairs as prompt_pairs
from leakscope.leak.explorer import explorer_rows, write_explorer
from leakscope.leak.imported_prompts import ImportedPrompts, import_prompts
from leakscope.leak.measures.comparisons import compare_models
from leakscope.leak.measures.leak_rate import leak_rates, leak_rates_by_template, specific_leakage
from leakscope.leak.measures.match_rate import (
    match_rates,
    match_rates_by_concept,
    match_rates_by_template,
    without_partners,
)
from leakscope.leak.measures.matching import match_texts, match_units
from leakscope.leak.measures.outcomes import compare_pairs
from leakscope.leak.named_concepts import concept_matrix
from leakscope.leak.prompts import no_candidates
from workspace import Workspace

ALONE = """\
prompt_id,control_id,concept,category,prompt
c1,,,colors,He eats
t1,c1,red,colors,A red dog. He eats
c2,,,colors,She eats
t2,c2,orange,colors,An orange dog. She eats
"""
BY_TEMPLATE = """\
prompt_id,control_id,concept,template_id,prompt
a,,red,eats,A red dog eats
b,,blue,eats,A blue dog eats
c,,red,sings,A red bird sings
d,,green,sings,A green bird sings
"""


def read(folder: Path, text: str, n_partners: int = 0) -> ImportedPrompts:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return import_prompts(path, "mine", partners=n_partners)


def written(prompts: pd.DataFrame, texts: dict[str, str], model: str = "own") -> pd.DataFrame:
    """Return one text a prompt: what ``texts`` says of its concept, or nothing to the point."""
    said = [texts.get(str(concept), "so it is") for concept in prompts["concept"]]
    return pd.DataFrame(
        {"model": model, "prompt_set": "mine", "prompt_id": prompts["prompt_id"], "sample": 0, "text": said}
    )


def scored(prompts: pd.DataFrame, generations: pd.DataFrame, values: dict[tuple[str, str], float]) -> pd.DataFrame:
    needed = prompt_pairs.list_pairs(prompts, generations, no_candidates())
    found = [values.get(pair, 0.0) for pair in zip(needed["concept"], needed["text"], strict=True)]
    return needed.assign(similarity=found, cut=False)


# ---- a/an, capitals and words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        *((word, "an") for word in ("orange", "hour", "honest man", "heirloom", "umbrella", "eBay shop", "éclair")),
        *((word, "an") for word in ("unusual dog", "urn", "usher", "onerous task", "upper hand", "uncle")),
        *(
            (word, "a")
            for word in ("red", "unicorn", "European", "one-eyed cat", "user", "house", "yellow", "xylophone")
        ),
        *((word, "a") for word in ("unanimous vote", "uranium rod", "ewe", "ukulele", "union", "once-rich man")),
        *((word, None) for word in ("herb", "FBI agent", "8", "x-ray", "mp3", "uninterested cat", "historic day", "R")),
    ],
)
def test_the_article_goes_by_sound_and_is_not_guessed(words: str, expected: str | None) -> None:
    assert partners.article(words) == expected


@pytest.mark.parametrize(
    ("prompt", "concept", "other", "expected"),
    [
        ("A red dog", "red", "orange", "An orange dog"),
        ("It was an  orange, an ORANGE!", "orange", "red", "It was a  red, a RED!"),
        ('An "orange" hat', "orange", "red", 'A "red" hat'),
        ("He is redder than red.", "red", "blue", "He is redder than blue."),
        ("Lemon yellow it is", "lemon yellow", "red", "Red it is"),
        ("Red it is. Is it Red?", "Red", "blue", "Blue it is. Is it blue?"),
        ("A lemon\nyellow hat", "lemon yellow", "red", "A red hat"),
        ("We had a plum.", "a plum", "an apple", "We had an apple."),
        ("We had a plum.", "a plum", "apples", None),
        ("A red dog", "red", "herb-green", None),
        ("A orange dog", "orange", "red", None),
        ("A red dog", "red", "red-hot", None),
    ],
)
def test_a_concept_makes_way_for_another_with_article_and_capitals(
    prompt: str, concept: str, other: str, expected: str | None
) -> None:
    assert partners.replaced(prompt, concept, other) == expected


# ---- which prompts are made


def test_a_test_without_partner_gets_copies_that_name_other_concepts(tmp_path: Path) -> None:
    prompts, warnings = read(tmp_path, ALONE, 1)
    assert prompts["prompt_id"].tolist() == ["c1", "t1", "t1/partner-1", "c2", "t2", "t2/partner-1"]
    assert prompts["made"].tolist() == ["no", "no", "yes", "no", "no", "yes"]
    made = prompts[prompts["made"] == "yes"]
    assert made["prompt"].tolist() == ["An orange dog. He eats", "A red dog. She eats"]
    assert made[["concept", "concept_group"]].to_numpy().tolist() == [["orange", "orange"], ["red", "red"]]
    assert made["control_id"].tolist() == ["c1", "c2"]
    assert set(prompts.dtypes.astype(str)) == {"str"}
    assert warnings == []


def test_without_partners_or_where_there_are_some_nothing_is_made(tmp_path: Path) -> None:
    plain = read(tmp_path, ALONE).prompts
    assert set(plain["made"]) == {"no"}
    shared = read(tmp_path, ALONE.replace("c2,,,colors,She eats\n", "").replace(",c2,", ",c1,"), 3)
    assert len(shared.prompts) == 3
    again = read(tmp_path, read(tmp_path, ALONE, 1).prompts.to_csv(index=False), 1)
    assert again.prompts["made"].tolist() == ["no", "no", "yes"] * 2
    assert "2 prompts were made as partners (column made), and have no Leak-Rate (row 4, 7)." in again.warnings[0]


def test_groups_come_before_second_concepts_of_one_and_other_categories_never(tmp_path: Path) -> None:
    names = ["red", "dark blue", "light blue", "sky blue", "green"]
    rows = [f"c{k},,,colors,{k} eats\nt{k},c{k},{name},colors,My {name} dog. {k} eats" for k, name in enumerate(names)]
    rows += ["cx,,,sizes,x eats\ntx,cx,tall,sizes,My tall dog. x eats"]
    prompts, warnings = read(tmp_path, "\n".join(["prompt_id,control_id,concept,category,prompt", *rows]), 2)
    groups = prompts[prompts["made"] == "yes"].groupby("control_id")["concept_group"].agg(set)
    assert groups["c0"] == {"blue", "green"}
    assert groups["c1"] == {"red", "green"}
    assert "cx" not in groups
    (warning,) = warnings
    assert "1 tests have fewer than 2 partners, as their category has too few other concepts (row 13: 0)" in warning


def test_an_edited_prompt_changes_its_own_partners_alone(tmp_path: Path) -> None:
    names = ["red", "blue", "green", "gray", "pink", "brown"]
    rows = [f"c{k},,,{k} eats\nt{k},c{k},{name},My {name} dog. {k} eats" for k, name in enumerate(names)]
    text = "\n".join(["prompt_id,control_id,concept,prompt", *rows])
    before, after = (read(tmp_path, table, 2).prompts for table in (text, text.replace("red dog", "red cat")))
    edited = before["prompt"] != after["prompt"]
    assert before.loc[edited, "prompt_id"].tolist() == ["t0", "t0/partner-1", "t0/partner-2"]


def test_of_many_concepts_some_are_drawn_from_and_those_differ_from_test_to_test(tmp_path: Path) -> None:
    names = [f"hue{k}" for k in range(partners.MOST_CHOICES + 100)]
    rows = [f"c{k},,,{k} eats\nt{k},c{k},{name},My {name} dog. {k} eats" for k, name in enumerate(names)]
    prompts, warnings = read(tmp_path, "\n".join(["prompt_id,control_id,concept,prompt", *rows]), 3)
    made = prompts[prompts["made"] == "yes"]
    assert made.groupby("control_id")["concept_group"].nunique().tolist() == [3] * len(names)
    assert made["concept"].nunique() > len(names) / 2
    assert warnings == []


def test_what_cannot_be_replaced_is_said_with_its_row(tmp_path: Path) -> None:
    text = ALONE.replace("A red dog", "A dog").replace("orange", "herb").replace("An herb", "A herb")
    warnings = read(tmp_path, text, 1).warnings
    assert any("1 tests have no partners, as their prompt lacks the concept's words (row 3)" in w for w in warnings)
    unsure = read(tmp_path, ALONE.replace("An orange", "A herb").replace("orange", "herb"), 1).warnings
    assert "1 tests have fewer than 1 partners, as the form of other" in unsure[0]
    assert "(row 3: 0, without 'herb')" in unsure[0]


def test_an_id_that_a_partner_gets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="prompt_id: got 't1/partner-1', the id of a generated partner prompt; allowed"
    ):
        read(tmp_path, ALONE.replace("t2,", "t1/partner-1,"), 1)


# ---- what becomes of them


def test_rates_with_partners_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    """In unit c1 both texts are those of their concept (D = .8 + .6 > 0: 1); in c2 both say the same (D = 0: ½).

    Without texts of made prompts, as of a model that wrote elsewhere, no unit has a partner.
    """
    prompts = read(tmp_path, ALONE, 1).prompts
    own = written(prompts, {"red": "blood", "orange": "juice"})
    own.loc[own["prompt_id"].isin(["t2", "t2/partner-1"]), "text"] = "juice"
    theirs = written(prompts[prompts["made"] == "no"], {"red": "blood"}, model="theirs")
    generations = pd.concat([own, theirs])
    values = {("red", "blood"): 0.9, ("orange", "blood"): 0.1, ("red", "juice"): 0.2, ("orange", "juice"): 0.8}
    similarity = scored(prompts, generations, values)
    units = match_units(prompts, generations, similarity, "s")
    rates = match_rates(units).query("category == 'all'").set_index("model")
    assert rates.loc["own", ["match_rate", "n_prompts", "n_units", "n_without_partner"]].tolist() == [75, 4, 2, 0]
    assert np.isnan(rates.loc["theirs", "match_rate"])
    assert rates.loc["theirs", ["n_units", "n_without_partner"]].tolist() == [0, 2]
    (line,) = without_partners(units, prompts)
    assert line.startswith("mine: no match rate of theirs: each control has one concept; there are no texts after")
    plain = prompts[prompts["made"] == "no"]
    (line,) = without_partners(match_units(plain, theirs, similarity, "s"), plain)
    assert line.endswith("one concept; a prompt table gets other concepts for models that write here by `partners: 3`.")
    pairs = compare_pairs(prompts, generations, similarity, "s")
    assert set(pairs["prompt_id"]) == {"t1", "t2"}
    matrix = concept_matrix(prompts, no_candidates(), generations)
    assert matrix.groupby("model")["n"].sum().to_dict() == {"own": 2, "theirs": 2}


def test_imported_texts_may_lack_made_prompts_and_may_have_them(tmp_path: Path) -> None:
    prompts = read(tmp_path, ALONE, 1).prompts
    path = tmp_path / "texts.csv"
    for some in (prompts[prompts["made"] == "no"], prompts):
        for columns in (["prompt_id", "prompt"], ["prompt"]):
            some[columns].assign(generation_1="so").to_csv(path, index=False)
            found = imported_texts.import_generations(path, prompts, "m", "mine", None, tmp_path / "table.csv")
            assert found.generations["prompt_id"].tolist() == some["prompt_id"].tolist()
            assert found.warnings == []


# ---- tables without a control


def test_templates_are_units_where_no_prompt_has_a_control(tmp_path: Path) -> None:
    prompts, warnings = read(tmp_path, BY_TEMPLATE)
    assert prompts["control_id"].isna().all()
    (warning,) = warnings
    assert (
        "no prompt has a control: concepts are compared within their template, and there are no Leak-Rates" in warning
    )
    published = "prompt,n_control,concept,template_id\nA red dog,,red,7\nA blue dog,none,blue,7\n"
    assert len(read(tmp_path, published).prompts) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a,,red,eats", "a,,red,", "row 2: got the concept 'red' without a control"),
        ("b,,blue", "b,a,blue", "row 4: got the concept 'red' without a control"),
        ("a,,red,eats", "a,x,red,eats", "row 2: control_id: got 'x'"),
    ],
)
def test_a_lost_control_is_still_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(tmp_path, BY_TEMPLATE.replace(old, new, 1))


def test_a_study_without_controls_has_match_rates_and_empty_leak_rates(tmp_path: Path) -> None:
    prompts = read(tmp_path, BY_TEMPLATE).prompts
    said = {"red": "blood", "blue": "sky", "green": "grass"}
    generations = pd.concat([written(prompts, said, "one"), written(prompts, {}, "two")])
    concepts = {"red": "blood", "blue": "sky", "green": "grass"}
    similarity = scored(prompts, generations, {pair: 0.9 for pair in concepts.items()})
    units, texts = match_texts(prompts, generations, similarity, "s")
    assert match_rates(units).set_index("model")["match_rate"].to_dict() == {"one": 100, "two": 50}
    assert match_rates_by_concept(units).groupby("model").size().to_dict() == {"one": 3, "two": 3}
    assert match_rates_by_template(units)["template_id"].tolist() == ["eats", "sings"] * 2
    assert without_partners(units, prompts) == []
    pairs = compare_pairs(prompts, generations, similarity, "s")
    assert pairs.empty
    for table in (leak_rates, specific_leakage, leak_rates_by_template):
        assert table(pairs).empty
    compared = compare_models(units, pairs)
    assert compared[["measure", "difference"]].to_numpy().tolist() == [["match_rate", 50]]
    assert concept_matrix(prompts, no_candidates(), generations)["n"].sum() == 8
    rows = explorer_rows(pairs, prompts, texts)
    write_explorer(rows, tmp_path / "page.html", study="mine", scorers=["s"])
    assert len(rows) == 0


@pytest.mark.workflow
def test_a_study_without_any_control_runs_through_to_its_report(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "checkout")
    (workspace.folder / "bare.csv").write_text(BY_TEMPLATE, encoding="utf-8")
    rows = pd.read_csv(workspace.folder / "bare.csv")
    for name, said in (("one", rows["concept"] + "."), ("two", "so.")):
        rows.assign(generation_1=said).to_csv(workspace.folder / f"{name}.csv", index=False)
    study = {
        "study": {"name": "bare", "models": ["one", "two"], "prompt_sets": ["bare"], "scorers": ["lexical"]},
        "prompt_sets": {"bare": {"source": "table", "path": "bare.csv"}},
        "models": {name: {"source": "generations", "path": f"{name}.csv"} for name in ("one", "two")},
    }
    assert "there are no Leak-Rates" in workspace.run("--cores", "2", study=study).stdout
    results = workspace.folder / "results/bare"
    rates = pd.read_csv(results / "match_rates.csv").set_index("model")
    assert rates["match_rate"].to_dict() == {"one": 100, "two": 50}
    assert pd.read_csv(results / "leak_rates.csv").empty
    workspace.run("--cores", "1", "--report", "results/bare/report.html", study=study)
