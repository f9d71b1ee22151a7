from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

from leakscope.errors import InputError
from leakscope.files.tables import read_table, write_csv
from leakscope.languages.of_prompts import LANGUAGE_COLUMNS
from leakscope.leak.imported_prompts import LONG_FORM, PAIRED_FORM, PUBLISHED_FORM
from leakscope.leak.imported_prompts import import_prompts as read_prompts
from leakscope.leak.imported_texts import GENERATION_COLUMNS, LONG_TEXTS, Imported, check_texts, import_generations
from leakscope.leak.measures.comparisons import compare_models
from leakscope.leak.measures.leak_rate import leak_rates
from leakscope.leak.measures.matching import match_units
from leakscope.leak.measures.outcomes import compare_pairs
from leakscope.leak.pairs import list_pairs
from leakscope.leak.prompts import PROMPT_COLUMNS, no_candidates

LONG = """\
prompt_id,control_id,neutral_control_id,concept,category,prompt
c,,,,pets,He eats
s,,,small,pets,A small dog. He eats
t1,c,s,golden Yellow,pets,A golden yellow dog. He eats
t2,c,,\u00a0red ,pets,A red dog. He eats
"""
PUBLISHED = """\
,prompt,n_control,concept,category,template_id,is_control_item,expected_color,generation_2,generation_1,generation_10
0,He eats,,none,1.0,7,True,none,b0,a0,c0
1,A red dog. He eats,0.0,\u00a0red ,1.0,7,False,red,b1,a1,c1
2,A tall dog. He eats,None,tall,1.0,7,False,,b2,a2,c2
3,A blue dog. He eats,0,blue,1.0,7,False,none,b3, a3 ,c3
"""


def import_prompts(path: Path, prompt_set: str) -> pd.DataFrame:
    return read_prompts(path, prompt_set).prompts


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def long(tmp_path: Path) -> Path:
    return write(tmp_path / "long.csv", LONG)


@pytest.fixture
def published_form(tmp_path: Path) -> Path:
    return write(tmp_path / "published.csv", PUBLISHED)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        import_prompts(path, "mine")
    return _one_line(caught.value, path)


def _one_line(error: InputError, path: Path) -> str:
    """Return the message, whose every line says of the file what was found and what is allowed."""
    for line in str(error).splitlines():
        assert line.startswith(str(path))
        assert "got" in line
        assert "allowed" in line
    return str(error)


# ---- prompts


def test_long_form_keeps_ids_and_controls(long: Path) -> None:
    prompts = import_prompts(long, "mine")
    assert list(prompts) == PROMPT_COLUMNS
    assert set(prompts["prompt_set"]) == {"mine"}
    assert prompts["prompt_id"].tolist() == ["c", "s", "t1", "t2"]
    assert prompts["control_id"].fillna("").tolist() == ["", "", "c", "c"]
    assert prompts["neutral_control_id"].fillna("").tolist() == ["", "", "s", ""]
    assert prompts["prompt"].tolist()[2] == "A golden yellow dog. He eats"


def test_spaces_of_any_kind_round_a_concept_are_stripped(long: Path) -> None:
    assert import_prompts(long, "mine")["concept"].fillna("").tolist() == ["", "small", "golden Yellow", "red"]


def test_the_group_is_the_last_word_where_the_table_has_none(long: Path) -> None:
    assert import_prompts(long, "mine")["concept_group"].tolist()[2:] == ["yellow", "red"]


def test_the_group_of_the_table_is_kept(tmp_path: Path) -> None:
    text = "prompt_id,control_id,concept,concept_group,prompt\nc,,,,x\nt,c,canary,Yellow,y\nu,c,Sky blue,,z\n"
    prompts = import_prompts(write(tmp_path / "t.csv", text), "mine")
    assert prompts["concept_group"].tolist()[1:] == ["Yellow", "blue"]
    assert prompts[["category", "template_id", "slot", "expected"]].isna().all(axis=None)
    assert set(prompts.dtypes.astype(str)) == {"str"}


def test_published_form_calls_prompts_by_row_number(published_form: Path) -> None:
    prompts = import_prompts(published_form, "mine")
    assert prompts["prompt_id"].tolist() == ["0", "1", "2", "3"]
    assert prompts["control_id"].fillna("").tolist() == ["", "0", "", "0"]
    assert prompts["concept"].fillna("").tolist() == ["", "red", "tall", "blue"]
    assert prompts["expected"].fillna("").tolist() == ["", "red", "", ""]
    assert set(prompts["category"]) == {"1"}
    assert set(prompts["template_id"]) == {"7"}
    assert prompts["neutral_control_id"].isna().all()


def test_a_written_prompt_table_comes_back(long: Path, tmp_path: Path) -> None:
    prompts = import_prompts(long, "mine")
    write_csv(prompts, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(import_prompts(tmp_path / "again.csv", "mine"), prompts)


def test_ids_with_a_trailing_zero_fraction_join_whole_ones(tmp_path: Path) -> None:
    # pandas writes a column of whole numbers with gaps as 0.0, the one without gaps as 0.
    text = "prompt_id,control_id,concept,prompt\n0,,,x\n1,0.0,red,y\n"
    prompts = import_prompts(write(tmp_path / "t.csv", text), "mine")
    assert prompts["control_id"].tolist()[1] == "0"


def test_a_prompt_stays_as_written(tmp_path: Path) -> None:
    text = 'prompt_id,control_id,concept,prompt\nc,,," x\u00a0"\nt,c,red,"y ""z"""\n'
    assert import_prompts(write(tmp_path / "t.csv", text), "mine")["prompt"].tolist() == [" x\u00a0", 'y "z"']


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("concept,", "concpt,", ["concpt", "n_control, concept; or test_prompt", "'concept' for 'concpt'"]),
        ("s,,,small", "c,,,small", ["row 3", "prompt_id", "'c'", "row 2"]),
        ("s,,,small", ",,,small", ["row 3", "prompt_id", "''"]),
        ("A red dog. He eats", " ", ["row 5", "prompt", "not empty"]),
        ("t1,c,s", "t1,d,s", ["row 4", "control_id", "'d'"]),
        ("t1,c,s", "t1,c,d", ["row 4", "neutral_control_id", "'d'"]),
        ("t1,c,s", "t1,t1,s", ["row 4", "control_id", "'t1'", "itself"]),
        ("golden Yellow", "None", ["row 4", "concept", "'None'"]),
        ("golden Yellow", "", ["row 4", "concept", "''"]),
        ("golden Yellow,pets", "golden several,pets", ["row 4", "concept_group", "'several'", "or none"]),
        ("golden Yellow,pets", "golden Yellow,all", ["row 4", "category", "'all'"]),
    ],
)
def test_a_wrong_long_table_is_one_line(long: Path, old: str, new: str, parts: list[str]) -> None:
    assert old in LONG
    message = refusal(write(long, LONG.replace(old, new, 1)))
    for part in parts:
        assert part in message


@pytest.mark.parametrize("value", ["4", "-1", "0.5", "x", "1e0", "٣"])
def test_a_control_row_that_does_not_exist_is_refused(published_form: Path, value: str) -> None:
    message = refusal(write(published_form, PUBLISHED.replace(",0.0,", f",{value},")))
    for part in ("row 3", "n_control", repr(value), "from 0 to 3"):
        assert part in message


def test_a_control_row_that_is_the_row_itself_is_refused(published_form: Path) -> None:
    assert "itself" in refusal(write(published_form, PUBLISHED.replace(",0.0,", ",1,")))


def test_a_test_without_concept_is_refused(published_form: Path) -> None:
    assert "row 3: concept" in refusal(write(published_form, PUBLISHED.replace("\u00a0red ", "none")))


# ---- generations


def generations(path: Path, prompts_path: Path, samples: int | None = None, model: str = "m") -> Imported:
    return import_generations(path, import_prompts(prompts_path, "mine"), model, "mine", samples, prompts_path)


def no_generations(path: Path, prompts_path: Path, samples: int | None = None) -> str:
    with pytest.raises(InputError) as caught:
        generations(path, prompts_path, samples)
    return _one_line(caught.value, path)


def by_prompt(imported: Imported) -> dict[str, list[str]]:
    return imported.generations.groupby("prompt_id", sort=False)["text"].agg(list).to_dict()


def test_wide_columns_are_ordered_by_number_and_kept_as_written(published_form: Path) -> None:
    imported = generations(published_form, published_form)
    assert imported.warnings == []
    assert list(imported.generations) == GENERATION_COLUMNS
    assert imported.generations["sample"].tolist() == [0, 1, 2] * 4
    assert str(imported.generations["sample"].dtype) == "int64"
    assert by_prompt(imported) == {
        "0": ["a0", "b0", "c0"],
        "1": ["a1", "b1", "c1"],
        "2": ["a2", "b2", "c2"],
        "3": [" a3 ", "b3", "c3"],
    }


def test_samples_keeps_the_first_ones_and_no_more_than_there_are(published_form: Path) -> None:
    assert by_prompt(generations(published_form, published_form, samples=1))["3"] == [" a3 "]
    assert "4 prompts without all of their 4 samples ('0' lacks number 3," in no_generations(
        published_form, published_form, 4
    )


def test_published_form_needs_as_many_rows_as_prompts(published_form: Path, tmp_path: Path) -> None:
    shorter = write(tmp_path / "shorter.csv", PUBLISHED.rsplit("\n", 2)[0] + "\n")
    message = no_generations(shorter, published_form)
    assert "got no text for 1 prompt ('3')" in message
    other = write(tmp_path / "other.csv", shorter.read_text(encoding="utf-8").replace("dog", "hound"))
    assert f"got 3 rows; allowed: 4, as in {published_form}" in no_generations(other, published_form)


def test_rows_with_another_text_are_counted_in_one_warning(published_form: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.csv", PUBLISHED.replace("dog.", "hound."))
    imported = generations(other, published_form)
    assert by_prompt(imported)["1"] == ["a1", "b1", "c1"]
    assert len(imported.warnings) == 1
    assert "3 of 4 rows" in imported.warnings[0]
    assert "row 3: 'A red hound. He eats', not 'A red dog. He eats'" in imported.warnings[0]
    assert "\n" not in imported.warnings[0]


def test_a_long_warning_shows_the_first_few(tmp_path: Path) -> None:
    rows = [f"prompt {i}{{}},{0 if i else ''},red,x\n" for i in range(9)]
    head = "prompt,n_control,concept,generation_1\n"
    prompts = write(tmp_path / "a.csv", head + "".join(row.format("") for row in rows))
    other = write(tmp_path / "b.csv", head + "".join(row.format("!") for row in rows))
    (warning,) = generations(other, prompts).warnings
    assert "9 of 9 rows" in warning
    assert "and 6 more" in warning


def test_wide_form_with_ids_joins_by_id(long: Path, tmp_path: Path) -> None:
    text = "prompt_id,generation_1\nt2,four\nt1,three\nx,none\nc,one\ns,two\n"
    imported = generations(write(tmp_path / "wide.csv", text), long)
    assert by_prompt(imported) == {"c": ["one"], "s": ["two"], "t1": ["three"], "t2": ["four"]}
    assert len(imported.warnings) == 1
    assert "'x'" in imported.warnings[0]


def test_long_form_joins_by_id_and_sample(long: Path, tmp_path: Path) -> None:
    rows = [f"{i},{k},{i}-{k}" for k in (1, 0) for i in ("t2", "c", "s", "t1")]
    imported = generations(write(tmp_path / "g.csv", "\n".join(["prompt_id,sample,text", *rows])), long)
    assert by_prompt(imported)["t1"] == ["t1-0", "t1-1"]
    assert imported.generations["prompt_id"].tolist() == ["c", "c", "s", "s", "t1", "t1", "t2", "t2"]
    assert set(imported.generations["model"]) == {"m"}


def test_long_form_is_filtered_by_model_and_prompt_set(long: Path, tmp_path: Path) -> None:
    rows = [
        f"{m},{s},{i},0,{m} {s}" for m in ("m", "other") for s in ("mine", "theirs") for i in ("c", "s", "t1", "t2")
    ]
    path = write(tmp_path / "g.csv", "\n".join(["model,prompt_set,prompt_id,sample,text", *rows]))
    assert set(generations(path, long).generations["text"]) == {"m mine"}
    with pytest.raises(InputError, match="column 'model': got m, other; allowed: x"):
        generations(path, long, model="x")


def test_our_own_generations_come_back(published_form: Path, tmp_path: Path) -> None:
    first = generations(published_form, published_form)
    first.generations.to_parquet(tmp_path / "g.parquet")
    again = generations(tmp_path / "g.parquet", published_form)
    pd.testing.assert_frame_equal(again.generations, first.generations)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("prompt_id,text\nc,x\n", ["prompt_id, text", "prompt_id, sample, text", "generation_1"]),
        ("prompt_id,sample,text\nc,0,x\ns,0,x\nt1,0,x\n", ["1 prompt", "'t2'"]),
        ("prompt_id,generation_1\nc,x\ns,x\nt1,x\n", ["1 prompt", "'t2'"]),
        ("prompt_id,generation_1\nc,x\nc,x\n", ["row 3", "'c' twice"]),
        ("prompt_id,sample,text\nc,0,x\nc,0,y\n", ["row 3", "sample 0", "'c' twice"]),
        ("prompt_id,sample,text\nc,first,x\n", ["row 2", "sample", "'first'", "whole number"]),
        ("prompt_id,sample,text\nc,2,x\ns,2,x\nt1,2,x\nt2,2,x\n", ["4 prompts", "'c' lacks number 0"]),
        (
            "prompt_id,sample,text\nc,0,x\nc,1,x\ns,0,x\ns,1,x\nt1,0,x\nt1,1,x\nt2,0,x\n",
            ["1 prompt without all of its 2 samples", "'t2' lacks number 1"],
        ),
        (
            "prompt_id,sample,text\nc,0,x\nc,1,x\nc,2,x\ns,0,x\ns,1,x\nt1,0,x\nt1,1,x\nt2,0,x\nt2,1,x\n",
            [
                "3 samples after controls without the clause, 2 after other prompts",
                "a multiple of 2 after every control",
            ],
        ),
        (
            "prompt_id,sample,text\nc,0,x\ns,0,x\ns,1,x\nt1,0,x\nt1,1,x\nt2,0,x\nt2,1,x\n",
            ["1 prompt without all of its 2 samples", "'c' lacks number 1"],
        ),
    ],
)
def test_a_wrong_table_of_texts_is_one_line(long: Path, tmp_path: Path, text: str, parts: list[str]) -> None:
    message = no_generations(write(tmp_path / "g.csv", text), long)
    for part in parts:
        assert part in message


def of_numbers(path: Path, **numbers: int) -> Path:
    """Write texts in long form, so many of each prompt."""
    rows = [f"{name},{k},{name} {k}" for name, n in numbers.items() for k in range(n)]
    return write(path, "\n".join(["prompt_id,sample,text", *rows, ""]))


def test_a_control_without_the_clause_may_have_a_multiple_of_the_samples_of_tests(long: Path, tmp_path: Path) -> None:
    texts = of_numbers(tmp_path / "g.csv", c=6, s=2, t1=2, t2=2)
    prompts = import_prompts(long, "mine")

    def numbers(samples: int | None = None, control_samples: int | None = None) -> dict[str, int]:
        how = ("m", "mine", samples, long)
        found = import_generations(texts, prompts, *how, control_samples=control_samples).generations
        return found.groupby("prompt_id").size().to_dict()

    assert numbers() == {"c": 6, "s": 2, "t1": 2, "t2": 2}
    assert numbers(control_samples=4) == {"c": 4, "s": 2, "t1": 2, "t2": 2}
    assert numbers(1) == dict.fromkeys(("c", "s", "t1", "t2"), 1)
    assert numbers(1, 5) == {"c": 5, "s": 1, "t1": 1, "t2": 1}
    with pytest.raises(InputError, match="'c' lacks number 6.*0 to 1 of every prompt, 0 to 7 of every control without"):
        numbers(2, 8)


def test_a_neutral_control_has_no_more_samples_than_tests(long: Path, tmp_path: Path) -> None:
    message = no_generations(of_numbers(tmp_path / "g.csv", c=2, s=4, t1=2, t2=2), long)
    assert "'t1' lacks number 2" in message


def test_a_model_of_five_samples_stands_beside_one_of_one_and_all_samples_of_both_count(
    tmp_path: Path, root: Path
) -> None:
    prompts = pd.DataFrame(
        {"prompt": ["He eats", "A red dog. He eats"], "n_control": [None, 0], "concept": [None, "red"]}
    )
    written = {
        "one": [["meat", "a red apple"]],
        "five": [["meat", text] for text in ("red", "red", "red", "soup", "meat")],
    }
    for name, samples in written.items():
        texts = {f"generation_{k}": pair for k, pair in enumerate(samples, 1)}
        prompts.assign(**texts).to_excel(tmp_path / f"{name}.xlsx", index=False)
    path = tmp_path / "one.xlsx"
    table = import_prompts(path, "mine")
    # As the study of the published texts asks for: samples of one model must not be cut to those of another.
    study = yaml.safe_load((root / "studies/published.yaml").read_text(encoding="utf-8"))
    wanted = study["prompt_sets"]["authors-initial"].get("samples")
    found = pd.concat(
        import_generations(tmp_path / f"{name}.xlsx", table, name, "mine", wanted, path).generations for name in written
    )
    pairs = list_pairs(table, found, no_candidates())
    pairs["similarity"] = pairs["text"].str.contains("red").astype(float)
    pairs["cut"] = False
    outcomes = compare_pairs(table, found, pairs, "contains")
    rates = leak_rates(outcomes).set_index("model")
    assert rates["n_pairs"].to_dict() == {"one": 1, "five": 5}
    # Three of five are closer to red than the control is, and two are ties.
    assert rates["leak_rate"].to_dict() == {"one": 100, "five": 100 * (3 + 2 * 0.5) / 5}
    # The two are compared at the sample that both have, the first.
    compared = compare_models(match_units(table, found, pairs, "contains"), outcomes).set_index("measure")
    assert compared["difference"].tolist() == [0]  # no unit has a second concept


# ---- what strangers bring


def told(tmp_path: Path, rows: str, head: str = "prompt_id,control_id,concept,prompt") -> list[str]:
    return read_prompts(write(tmp_path / "t.csv", f"{head}\n{rows}\n"), "mine").warnings


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("c,,,I ate\nt,c,red,I ate", "1 prompt is its control's, word for word (row 3)"),
        ("c,,,I ate\nt,c,red,Blue. I ate", "1 prompt does not name its concept (row 3)"),
        ("c,,,I ate\nt,c,red,Red. I ate\nu,t,blue,Blue. I ate", "1 control is a test itself (row 4)"),
        ("c,,,I ate\nt,c,red,Red. I ate ", "1 prompt ends in white space (row 3)"),
        ('c,,,"I\r\nate"\nt,c,red,"Red. I\nate"', "1 prompt has other line ends than its control (row 3)"),
    ],
)
def test_what_is_hardly_meant_is_one_warning_that_names_rows(tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"prompt_id,control_id,concept,prompt\n{rows}\n".encode())
    assert said in " ".join(read_prompts(path, "mine").warnings)


def test_tests_without_a_category_are_counted_where_others_have_one(tmp_path: Path) -> None:
    head = "prompt_id,control_id,concept,prompt,category"
    warnings = told(tmp_path, "c,,,I ate,\nt,c,red,Red. I ate,x\nu,c,blue,Blue. I ate,", head)
    assert warnings == [f"{tmp_path / 't.csv'}: 1 prompt has no category, and counts only in `all` (row 4)."]
    assert told(tmp_path, "c,,,I ate,\nt,c,red,Red. I ate,", head) == []


def test_a_concept_without_a_control_is_named_and_one_of_the_published_form_is_counted(tmp_path: Path) -> None:
    message = refusal(write(tmp_path / "t.csv", f"{LONG}u,,,lime,pets,A lime dog. He eats\n"))
    assert "row 6: got the concept 'lime' without a control" in message
    (warning,) = read_prompts(write(tmp_path / "p.csv", PUBLISHED), "mine").warnings
    assert "1 concept has no control, and is no test (row 4)" in warning


def test_all_mistakes_of_a_table_are_named_at_once(tmp_path: Path) -> None:
    rows = "c,,,I ate\nt,d,red,Red. I ate\nt,c,,Blue. I ate\nu,c,lime, "
    with pytest.raises(InputError) as caught:
        told(tmp_path, rows)
    found = [line.removeprefix(f"{tmp_path / 't.csv'}, ").split(": got")[0] for line in str(caught.value).splitlines()]
    assert found == ["row 4: prompt_id", "row 3: control_id", "row 4: concept", "row 5: prompt"]


def test_names_of_columns_may_be_written_otherwise(tmp_path: Path) -> None:
    head = "Prompt ID,Control-ID, CONCEPT ,Prompt"
    assert told(tmp_path, "c,,,I ate\nt,c,red,Red. I ate", head) == []


def test_a_prompt_and_its_control_may_stand_in_one_row(tmp_path: Path) -> None:
    rows = "1,red,x,I ate,Red. I ate\n2,blue,x,I ate,Blue. I ate\n3,red,y,He ate,Red. He ate"
    prompts = import_prompts(
        write(tmp_path / "t.csv", f"id,concept,category,control_prompt,test_prompt\n{rows}\n"), "mine"
    )
    assert prompts["prompt_id"].tolist() == ["1/control", "1", "2", "3/control", "3"]
    assert prompts["control_id"].fillna("").tolist() == ["", "1/control", "1/control", "", "3/control"]
    assert prompts["prompt"].tolist()[3:] == ["He ate", "Red. He ate"]
    assert prompts["category"].tolist() == ["x", "x", "x", "y", "y"]


def long_texts(rows: str) -> str:
    return f"prompt_id,sample,text\n{rows}\n"


def test_texts_that_begin_with_their_prompt_are_refused_or_read_without_it(long: Path, tmp_path: Path) -> None:
    prompts = import_prompts(long, "mine")
    texts = [f"{i},0, {text} a fish" for i, text in zip(prompts["prompt_id"], prompts["prompt"], strict=True)]
    path = write(tmp_path / "g.csv", long_texts("\n".join(texts)))
    message = no_generations(path, long)
    assert "got 4 of 4 texts that begin with their prompt (of c, s, t1 and 1 more)" in message
    assert "strip_prompt: true" in message
    stripped = import_generations(path, prompts, "m", "mine", None, long, strip_prompt=True)
    assert set(stripped.generations["text"]) == {" a fish"}
    few = [*texts[:1], *(f"{i},0,a fish" for i in prompts["prompt_id"][1:])]
    (warning,) = generations(write(tmp_path / "g.csv", long_texts("\n".join(few))), long).warnings
    assert "1 of 4 texts" in warning


def test_rows_in_another_order_are_joined_by_their_prompt(published_form: Path, tmp_path: Path) -> None:
    head, *rows = PUBLISHED.splitlines()
    shuffled = write(tmp_path / "s.csv", "\n".join([head, *reversed(rows)]))
    imported = generations(shuffled, published_form)
    assert by_prompt(imported) == by_prompt(generations(published_form, published_form))
    assert imported.warnings == []
    mixed = "\n".join([head, rows[1], rows[0], *(row.replace("dog", "hound") for row in rows[2:])])
    assert "row 2: prompt: got 'A red dog. He eats', which is in another row" in no_generations(
        write(tmp_path / "m.csv", mixed), published_form
    )


def test_samples_may_be_counted_from_1_and_a_text_be_called_otherwise(long: Path, tmp_path: Path) -> None:
    rows = "\n".join(f"{i},{k},{i}{k}" for i in ("c", "s", "t1", "t2") for k in (1, 2))
    path = write(tmp_path / "g.csv", long_texts(rows).replace("text", "Completion"))
    assert by_prompt(generations(path, long))["t1"] == ["t11", "t12"]


def test_a_null_is_a_missing_text_and_an_empty_one_is_a_text(long: Path, tmp_path: Path) -> None:
    rows = [{"prompt_id": i, "sample": 0, "text": ""} for i in ("c", "s", "t1", "t2")]
    path = write(tmp_path / "g.jsonl", "\n".join(map(json.dumps, rows)))
    assert set(generations(path, long).generations["text"]) == {""}
    rows[2]["text"] = None
    assert "row 3: text: got null" in no_generations(write(path, "\n".join(map(json.dumps, rows))), long)


def test_an_empty_cell_of_the_wide_form_is_a_missing_text(long: Path, tmp_path: Path) -> None:
    text = "prompt_id,generation_1,generation_2\nc,a,b\ns,a,\nt1,a,b\nt2,a,b\n"
    assert "row 3: generation_2: got nothing" in no_generations(write(tmp_path / "w.csv", text), long)


# ---- the published files


@pytest.mark.published
@pytest.mark.parametrize(
    ("name", "n_rows", "n_tests", "samples"),
    [
        ("color_prompts_qwen_05_instr", 760, 709, 5),
        ("color_prompts_qwen_3_instr", 760, 709, 5),
        ("initial_prompts_qwen_05_instr", 140, 109, 1),
        ("initial_prompts_qwen_3_instr", 140, 109, 1),
    ],
)
def test_published_files_give_the_published_number_of_pairs(
    published: Path, name: str, n_rows: int, n_tests: int, samples: int
) -> None:
    path = published / f"semantic_leakage/{name}.xlsx"
    prompts = import_prompts(path, "authors")
    tests = prompts[prompts["control_id"].notna()]
    imported = import_generations(path, prompts, "qwen", "authors", None, path)
    pairs = tests.merge(imported.generations, on="prompt_id").merge(
        imported.generations, left_on=["control_id", "sample"], right_on=["prompt_id", "sample"]
    )
    assert len(prompts) == n_rows
    assert len(tests) == n_tests
    assert len(pairs) == n_tests * samples
    assert imported.warnings == []
    assert (tests["concept"] == tests["concept"].str.strip()).all()
    assert set(prompts["category"].dropna()) == ({"1", "2", "3"} if n_rows == 760 else set())


@pytest.mark.published
def test_texts_of_the_published_files_are_kept_as_written(published: Path) -> None:
    path = published / "semantic_leakage/color_prompts_qwen_05_instr.xlsx"
    imported = import_generations(path, import_prompts(path, "authors"), "qwen", "authors", None, path)
    columns = [f"generation_{k}" for k in range(1, 6)]
    assert imported.generations["text"].tolist() == read_table(path)[columns].to_numpy().ravel().tolist()


# ---- the schemas say what the code does


def test_schemas_have_the_columns_that_are_read(root: Path) -> None:
    prompts, texts = _schema(root, "prompt_table"), _schema(root, "generation_table")
    assert [form["required"] for form in prompts["anyOf"]] == [list(LONG_FORM), list(PUBLISHED_FORM), list(PAIRED_FORM)]
    assert texts["anyOf"][0]["required"] == list(LONG_TEXTS)
    # Every output column that a table can fill is described.
    assert {*PROMPT_COLUMNS} - {"prompt_set", "slot", *LANGUAGE_COLUMNS} <= {*prompts["properties"]}
    assert {*GENERATION_COLUMNS} <= {*texts["properties"]}


def test_rows_that_are_read_follow_the_schemas(root: Path, long: Path, published_form: Path) -> None:
    for path, name in ((long, "prompt_table"), (published_form, "prompt_table"), (published_form, "generation_table")):
        for row in read_table(path).to_dict("records"):
            jsonschema.validate(row, _schema(root, name))


def _schema(root: Path, name: str) -> dict:
    schema = json.loads((root / f"schemas/{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (
            {
                **{"example_id": 0, "question_polarity": "neg", "context_condition": "ambig", "category": "Age"},
                **{"answer_info": {"ans0": ["the ant", "old"]}, "context": "An ant met an oak.", "label": 2},
            },
            "got questions of BBQ, with three answers each; allowed: a table that has prompt_id, ",
        ),
        (
            {"sentid": "wasp.ant.1.male.txt", "sentence": "The wasp told the ant that he sings."},
            "got sentences of Winogender; allowed: a table that has prompt_id, ",
        ),
        ({"sent_more": "a", "sent_less": "b"}, "got pairs of CrowS-Pairs; allowed: a table that has prompt_id, "),
    ],
)
def test_a_public_data_set_in_the_place_of_prompts_or_texts_is_named(
    tmp_path: Path, row: dict[str, object], what: str
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(row))
    for read in (lambda: import_prompts(path, "mine"), lambda: check_texts(path, rows=10)):
        with pytest.raises(InputError) as caught:
            read()
        assert str(caught.value).startswith(f"{path}: {what}")
        assert len(str(caught.value)) <= 400


def test_keys_of_json_lines_that_nobody_asked_for_are_left_out_however_deep(tmp_path: Path) -> None:
    extra = {"meta": {"a": {"b": [1]}}, "tags": ["x"], "score": 0.5}
    prompts, texts = tmp_path / "prompts.jsonl", tmp_path / "texts.jsonl"
    rows = [
        {"prompt_id": "c", "control_id": "", "concept": "", "prompt": "I ate"},
        {"prompt_id": "t", "control_id": "c", "concept": "red", "prompt": "Red. I ate"},
    ]
    prompts.write_text("\n".join(json.dumps(row | extra) for row in rows))
    read = read_prompts(prompts, "mine")
    assert read.prompts["prompt"].tolist() == ["I ate", "Red. I ate"]
    assert read.warnings == []
    written = [{"prompt_id": row["prompt_id"], "sample": 0, "text": "a cherry"} for row in rows]
    texts.write_text("\n".join(json.dumps(row | extra) for row in written))
    check_texts(texts, rows=10)
    assert len(import_generations(texts, read.prompts, "m", "mine", None, prompts).generations) == 2
