"""From counts, scores and prevalence to the tables of the step ground."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml

from leakscope.counting.lexicons import ambiguous_terms, names_in, read_concepts, read_names
from leakscope.errors import InputError
from leakscope.files.tables import read_table
from leakscope.ground.agreement.agreed import agree
from leakscope.ground.agreement.aligned import compare_aligned
from leakscope.ground.agreement.joined import counts_of, prevalence_of, scores_of, unmatched
from leakscope.ground.agreement.kendall import quartiles
from leakscope.ground.agreement.kendall_tau import centred, log_prevalence
from leakscope.ground.agreement.prevalence_gaps import prevalence_gaps
from leakscope.ground.agreement.rankings import first_and_last, logprob_differences, rank_spread, template_variation
from leakscope.ground.agreement.windows import rank_counts, window_agreement
from leakscope.ground.imported import import_counts, import_scores, read_prevalence
from leakscope.ground.naming import Naming, axis_naming
from leakscope.ground.sentence_templates import SentenceTemplate
from leakscope.ground.templates import fill, lead_in, read_sentence_templates

SETTINGS: dict[str, Any] = {"level": 0.95}
COUNTS = 'Disease,Demographics,Counts\nc1,dark,"1,200"\nc1,light,40\nflu,dark,7\ngout,dark,1\ngout,light,3\n'


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def scores_table(values: dict[str, dict[str, list[float]]], model: str = "m", language: str = "en") -> pd.DataFrame:
    rows = [
        (model, "a", language, str(i), subject, group, score)
        for subject, groups in values.items()
        for group, scores in groups.items()
        for i, score in enumerate(scores)
    ]
    names = ["model", "axis", "language", "template_id", "subject", "group", "logprob"]
    return pd.DataFrame(rows, columns=names).assign(logprob_mean=np.nan, logprob_span=np.nan, pmi=np.nan)


# Names


def test_codes_are_named_then_renamed_then_found_in_the_lexicon_then_left_out(tmp_path: Path) -> None:
    write(tmp_path / "s.csv", "id,name,variants\nhiv,HIV/AIDS,aids virus\ngout,gout,\n")
    write(tmp_path / "g.csv", "id,name,variants\ndark,dark,\n")
    write(tmp_path / "n.csv", "Disease,name\n123.0,immunodeficiency\n")
    naming = axis_naming(
        {
            "lexicons": {"subjects": tmp_path / "s.csv", "groups": tmp_path / "g.csv"},
            "names": tmp_path / "n.csv",
            "rename": {"immunodeficiency": "Aids Virus"},
            "groups": {"darkish": "Dark"},
            "exclude": ["gout"],
        }
    )
    assert naming.subject("123.0") == "hiv"
    assert naming.subject("unknown") == "unknown"
    assert naming.subject("Gout") is None
    assert naming.group("darkish") == "dark"


def test_a_subject_is_the_same_by_name_variant_and_id(tmp_path: Path) -> None:
    write(tmp_path / "s.csv", "id,name,variants\nheart-disease,heart disease,cardiac disease\nflu,flu,\ngout,gout,\n")
    write(tmp_path / "g.csv", "id,name,variants\ndark,dark,\n")
    lexicons = {"subjects": tmp_path / "s.csv", "groups": tmp_path / "g.csv"}
    without = axis_naming({"lexicons": lexicons, "exclude": ["Cardiac Disease"]})
    renamed = axis_naming({"lexicons": lexicons, "rename": {"heart disease": "flu"}})
    for name in ("heart-disease", "Heart Disease", "cardiac disease", "heart  disease "):
        assert without.subject(name) is None
        assert renamed.subject(name) == "flu"


def test_an_excluded_name_is_meant_before_or_after_it_is_renamed() -> None:
    naming = Naming(rename={"old": "new"}, exclude=frozenset({"old"}))
    assert naming.subject("old") is None
    assert naming.subject("new") == "new"


def test_two_subjects_that_become_one_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "subject,group,count\nold,x,1\nnew,x,2\n")
    with pytest.raises(InputError, match=r"'new' and 'old' with 'x', all named 'new' with 'x'"):
        import_counts({None: path}, "a", Naming(rename={"old": "new"}), {})


def test_names_are_trimmed_and_never_empty(tmp_path: Path) -> None:
    table = import_counts({None: write(tmp_path / "c.csv", "subject,group,count\n a ,x ,1\n")}, "a", Naming(), {})
    assert table[["subject", "group"]].to_numpy().tolist() == [["a", "x"]]
    with pytest.raises(InputError, match="got a subject without a name"):
        import_counts({None: write(tmp_path / "d.csv", "subject,group,count\n ,x,1\n")}, "a", Naming(), {})


def test_what_is_excluded_and_not_there_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "c.csv", "subject,group,count\na,x,1\n")
    import_counts({None: path}, "a", Naming(exclude=frozenset({"haert"}), rename={"b": "a"}), {})
    assert "exclude: not subjects of" in caplog.text
    assert "haert" in caplog.text
    assert "rename: not subjects of" in caplog.text


def test_names_need_two_columns_and_one_name_a_code(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="allowed: two"):
        read_names(write(tmp_path / "a.csv", "a,b,c\n1,2,3\n"))
    with pytest.raises(InputError, match="row 3: got 'y' for '1', after 'x' in an earlier row"):
        read_names(write(tmp_path / "b.csv", "code,name\n1,x\n1,y\n"))


# Imports


def test_counts_in_the_published_form_are_read_and_missing_pairs_count_0(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", COUNTS)
    table = import_counts({250: path}, "a", Naming(names={"c1": "cold"}), {})
    wide = counts_of(table, 250, "documents")
    assert wide.loc["cold"].to_dict() == {"dark": 1200, "light": 40}
    assert wide.loc["flu"].to_dict() == {"dark": 7, "light": 0}
    assert set(table["unit"]) == {"imported"}


def test_a_pair_that_one_window_lacks_counts_0_there(tmp_path: Path) -> None:
    near = write(tmp_path / "10.csv", "subject,group,count\nflu,x,2\nflu,y,1\n")
    far = write(tmp_path / "250.csv", "subject,group,count\nflu,x,3\nflu,z,5\ngout,y,1\n")
    table = import_counts({10: near, 250: far}, "a", Naming(), {})
    assert counts_of(table, 10, "documents").loc["gout"].to_dict() == {"x": 0, "y": 0, "z": 0}
    assert window_agreement(table, **SETTINGS)["n_subjects"].tolist() == [2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subject,group,count\nflu,dark,-1\n", r"row 2: column 'count': got '-1'"),
        ("subject,group,count\nflu,dark,1.5\n", r"row 2: column 'count': got '1.5'; allowed: a whole number"),
        ("subject,group,count\nflu,dark,\n", r"row 2: column 'count': got ''"),
        ("subject,group,count\nflu,dark,12,5\n", r"row 2: got 4 fields"),
        ("subject,group,n\nflu,dark,1\n", r"got the columns subject, group, n; allowed: one of them named count or"),
        ("subject,group,count\nflu,dark,1\nflu,dark,2\n", r"each pair once"),
    ],
)
def test_counts_that_are_no_counts_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_counts({None: write(tmp_path / "c.csv", text)}, "a", Naming(), {})


def test_scores_are_read_of_the_first_templates(tmp_path: Path) -> None:
    path = write(tmp_path / "s.json", json.dumps({"flu": [["x", [-1, -2.5, -9]], ["y", [-3, None, -9]]]}))
    table = import_scores(path, "m", "a", "en", Naming(groups={"y": "z"}), 2)
    assert list(table["template_id"]) == ["0", "1", "0", "1"]
    assert list(table["group"]) == ["x", "x", "z", "z"]
    # A template of a subject counts where every group has a score.
    assert scores_of(table, "logprob").loc["flu"].to_dict() == {"x": -1, "z": -3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "allowed: an object"),
        ("{", "invalid JSON"),
        ('{"flu": {}}', r"subject 'flu': got an empty dict; allowed: a list of \[group, scores\]"),
        ('{"flu": [["x"]]}', r"subject 'flu': got \['x'\]; allowed: \[group, \[scores\]\]"),
        ('{"flu": [["x", ["a"]]]}', "group 'x': got 'a'; allowed: a log-probability"),
        ('{"flu": [["x", [1, 2]], ["y", [1]]]}', "group 'y': got 1 score; allowed: 2"),
        ('{"flu": [["x", [1]]], "flu": [["x", [2]]]}', "subject 'flu' twice"),
    ],
)
def test_scores_of_another_form_are_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_scores(write(tmp_path / "s.json", content), "m", "a", "en", Naming(), 10)


def test_wide_prevalence_has_thousands_and_another_base(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", 'disease,x,y\nflu,"2,200.00",\ngout,30,0\n')
    table = read_prevalence(path, "a", Naming(rename={"flu": "influenza"}), per=100_000, source="a survey")
    wide = prevalence_of(table)
    assert wide.loc["influenza", "x"] == pytest.approx(220)
    assert np.isnan(wide.loc["influenza", "y"])
    assert wide.loc["gout"].to_dict() == {"x": 3, "y": 0}
    assert set(table["source"]) == {"a survey"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subject,group,prevalence,source\nflu,x,3,A\nflu,y,4,\n", "row 3: column 'source': got nothing"),
        ("subject,group,prevalence\nflu,x,3\n", "got no column 'source'"),
        ("subject,group,prevalence,source\nflu,x,many,A\n", "row 2: group 'x': got 'many'"),
        ("subject,group,prevalence,source\nflu,x,3,A\nflu,x,4,A\n", "each pair once"),
        ("subject,source\nflu,A\n", "nor columns of groups"),
    ],
)
def test_prevalence_without_a_source_or_a_number_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_prevalence(write(tmp_path / "p.csv", text), "a", Naming(), 10_000, None)


# Lexicons and templates


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,name,variants\na,x,y\nb,z,Y\n", r"row 3: got 'Y' for 'b', already a term of 'a'"),
        ("id,name,variants\na,crohn's disease,\nb,x,crohn’s  disease\n", r"row 3: got 'crohn’s  disease' for 'b'"),
        ("id,name,variants\nms,marrow,\nb,sclerosis,MS\n", r"row 2: got 'ms' for 'ms', already a term of 'b'"),
        ("id,name,variants\na,x,x\n", r"row 2: got 'x' for 'a', already a term of 'a'"),
        ("id,name,variants\na,x,y\na,z,\n", r"row 3: got the id 'a' again"),
        ("id,name,variants\na,x,y| z\n", r"row 2: got ' z'; allowed: names and variants without"),
        ("id,name,variants\na,x,y||z\n", r"row 2: column 'variants': got an empty variant"),
        ("id,name,variants\na,,y\n", r"row 2: column 'name': got nothing"),
        ("id,name,variants\nA b,x,y\n", r"row 2: column 'id': got 'A b'"),
        ("id,name\na,x\n", r"got no column 'variants'"),
        ("id,name,variants,colour\na,x,y,z\n", r"got the column 'colour'"),
    ],
)
def test_a_lexicon_that_is_ambiguous_or_damaged_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_concepts(write(tmp_path / "l.csv", text))


def test_short_and_ambiguous_terms_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "id,name,variants\nb,Black,African American|AA\nf,fever,\n")
    assert ambiguous_terms(path) == {"Black": "b", "AA": "b"}


def test_a_language_without_a_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "id,name,variants,name_es\na,flu,,gripe\nb,gout,,\n")
    assert names_in(path, "en") == {"a": "flu", "b": "gout"}
    with pytest.raises(InputError, match="got no name_es for 'b'"):
        names_in(path, "es")


def test_a_filled_template_knows_where_its_group_stands_and_what_is_left_without_the_subject() -> None:
    filled = fill(
        SentenceTemplate(id="t", text="{subject} is common in {group} patients."), "gout", "tall", "In Peru, "
    )
    assert filled.text == "In Peru, gout is common in tall patients."
    assert filled.text[slice(*filled.span)] == "tall"
    assert filled.rest == "In Peru, is common in tall patients."
    assert (
        fill(SentenceTemplate(id="t", text="{group} people have {subject}."), "gout", "Tall").rest
        == "Tall people have."
    )


TWICE = [{"id": "t", "text": "{group} people have {subject}."}] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"language": "es"}, "en.yaml: language: got 'es'; allowed: 'en', the file's name"),
        ({"language": "English"}, "en.yaml: language: got 'English'; allowed: a language code such as en"),
        (
            {"templates": [{"id": "t", "text": "{group} have it."}]},
            r"templates.0.text \('t'\): got '\{group\} have it.'; allowed: a text with \{subject\} and \{group\}, each",
        ),
        (
            {"templates": [{"id": "t", "text": "{group} {subject} {subject}"}]},
            r"templates.0.text \('t'\): .* each once",
        ),
        (
            {"templates": [{"id": "t", "text": "{group} {subject} {more}"}]},
            r"templates.0.text \('t'\): .* no other brace",
        ),
        ({"templates": [{"id": "t"}]}, r"templates.0.text \('t'\): got nothing"),
        ({"templates": [{"id": "a b", "text": "{group} {subject}"}]}, "templates.0.id: got 'a b'; allowed: a name of"),
        ({"templates": TWICE}, r"templates.1.id: got 't' again; allowed: each id once"),
        (
            {"templates": [TWICE[0], {**TWICE[1], "id": "u"}]},
            r"templates.1.text: got '.*' again; allowed: each text once",
        ),
        ({"templates": []}, r"templates: got \[\]; allowed: .* at least one"),
        ({"prefix": "In Peru, "}, r"prefix: got 'In Peru, '; allowed: a text with \{country\} once"),
        ({"prefixx": "In {country}"}, "prefixx: got an unknown key .* Did you mean 'prefix'?"),
    ],
)
def test_templates_of_another_form_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = {"language": "en", "templates": [{"id": "t", "text": "{group} people have {subject}."}], **change}
    path = write(tmp_path / "en.yaml", yaml.safe_dump(content))
    with pytest.raises(InputError, match=message):
        read_sentence_templates(path)


def test_a_country_needs_a_prefix(tmp_path: Path) -> None:
    content = {"language": "en", "templates": [{"id": "t", "text": "{group} people have {subject}."}]}
    path = write(tmp_path / "en.yaml", yaml.safe_dump(content))
    with pytest.raises(InputError, match="en.yaml: prefix: got nothing"):
        lead_in(read_sentence_templates(path), "Peru", path)


@pytest.mark.parametrize("folder", ["medical", "conditions"])
def test_shipped_data_follow_their_schemas_and_fit_together(root: Path, folder: str) -> None:
    def schema(name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((root / f"schemas/{name}.schema.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(content)
        return content

    data = root / "data/ground" / folder
    tables = {path.stem: path for path in data.glob("*.csv")}
    known: set[str] = set()
    for name in tables.keys() - {"prevalence", "world"}:
        known |= {concept.id for concept in read_concepts(tables[name])}
        for row in read_table(tables[name]).to_dict("records"):
            jsonschema.validate(row, schema("concept_lexicon"))
    prevalence = read_table(tables.get("prevalence", tables.get("world", data)))
    for row in prevalence.to_dict("records"):
        jsonschema.validate(row, schema("prevalence_table"))
    assert set(prevalence["subject"]) | set(prevalence["group"]) <= known
    assert prevalence["source"].str.len().min() > 5
    for path in (data / "templates").glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), schema("sentence_templates"))
        assert len(read_sentence_templates(path).templates) >= 10


def test_the_medical_study_speaks_four_languages(root: Path) -> None:
    data = root / "data/ground/medical"
    for language in ("en", "zh", "es", "fr"):
        read_sentence_templates(data / f"templates/{language}.yaml")
        assert len(names_in(data / "diseases.csv", language)) >= 100
        assert len(names_in(data / "race.csv", language)) + len(names_in(data / "gender.csv", language)) >= 9


# Agreement


def test_what_looks_like_a_number_or_nothing_is_a_name(tmp_path: Path) -> None:
    """NA is Namibia; what is ranked by all three sides is not lost between them, and is called as it was."""
    subjects, groups = ["001", "NA", "None"], ["007", "NA", "null"]
    rows = [
        f"{subject},{group},{10 * i + i * j}" for i, subject in enumerate(subjects, 1) for j, group in enumerate(groups)
    ]
    path = write(tmp_path / "c.csv", "\n".join(["subject,group,count", *rows]))
    counts = import_counts({None: path}, "nan", Naming(), {})
    rows = [f"{subject},{i},{2 * i},{3 * i},1e5" for i, subject in enumerate(subjects, 1)]
    path = write(tmp_path / "p.csv", "\n".join([",".join(["subject", *groups, "source"]), *rows]))
    prevalence = read_prevalence(path, "nan", Naming(), per=10_000, source=None)
    content = {subject: [[group, [-3.0 + i]] for i, group in enumerate(groups)] for subject in subjects}
    scores = import_scores(write(tmp_path / "s.json", json.dumps(content)), "3.10", "nan", "en", Naming(), 1)
    assert [list(dict.fromkeys(counts[key])) for key in ("subject", "group")] == [subjects, groups]
    assert set(prevalence["source"]) == {"1e5"}
    tables = agree({"nan": counts}, scores, {"nan": prevalence}, window=None, unit="documents", score="logprob",
                   **SETTINGS)  # fmt: skip
    assert tables["unmatched"].empty
    tau = tables["tau"].set_index(["axis", "comparison"])[["model", "n_subjects", "tau"]]
    assert tau.loc[("nan", "counts-model")].tolist() == ["3.10", 3, 1]
    assert tau.loc[("nan", "model-prevalence")].tolist() == ["3.10", 3, 1]
    assert set(tables["by_subject"]["subject"]) == set(subjects)


def made_counts() -> pd.DataFrame:
    rows = [("s1", "x", 30), ("s1", "y", 20), ("s1", "z", 10), ("s2", "x", 5), ("s2", "y", 9), ("s2", "z", 1)]
    rows += [("only", "x", 1), ("only", "y", 1), ("only", "z", 0)]
    table = pd.DataFrame(rows, columns=["subject", "group", "count"])
    return table.assign(axis="a", window=pd.array([250] * len(rows), dtype="Int64"), unit="imported")


def test_a_comparison_of_nothing_is_an_error() -> None:
    """As of names in another language, which joined none of them and left a table without a tau."""
    counted = pd.DataFrame({"dark": [1.0], "fair": [2.0]}, index=["flu"])
    others = {"the scores of m (es)": counted.rename(index={"flu": "gripe"}), "prevalence": counted.add_suffix("!")}
    with pytest.raises(InputError) as caught:
        unmatched("skin", {"the counts": counted, **others})
    first, second = str(caught.value).splitlines()
    assert first.startswith(
        "skin: got no subject that the counts (flu, ...) and the scores of m (es) (gripe, ...) have"
    )
    assert second.startswith("skin: got no group that the counts (dark, fair, ...) and prevalence (dark!, fair!, ...) ")


def test_the_table_of_agreement_has_taus_baseline_and_what_is_unmatched() -> None:
    scores = scores_table(
        {
            "s1": {"x": [-1, -1], "y": [-2, -2], "z": [-3, -3]},
            "s2": {"x": [-1, -1], "y": [-2, -2], "z": [-3, -3]},
            "more": {"x": [-1, -1], "y": [-2, -2], "z": [-3, -3]},
        }
    )
    prevalence = pd.DataFrame({"subject": ["s1"] * 3, "group": ["x", "y", "w"], "prevalence": [1.0, 2.0, 3.0]})
    tables = agree({"a": made_counts()}, scores, {"a": prevalence}, window=250, unit="documents", score="logprob",
                   **SETTINGS)  # fmt: skip
    tau = tables["tau"].set_index("comparison")
    # s1 is ranked as it is counted; s2 has its first two the other way round: 1 and 1/3.
    assert tau.loc["counts-model", "tau"] == pytest.approx(2 / 3)
    # By s2's and the other subject's counts s1 gets y before x: 1/3; by s1's s2 gets x before y: 1/3.
    assert tau.loc["counts-model", "baseline_tau"] == pytest.approx(1 / 3)
    assert tau.loc["counts-model", "n_subjects"] == 2
    assert tau.loc["model-prevalence", "tau"] == -1
    assert tau.loc["counts-prevalence", "tau"] == -1
    assert list(tables["tau"].columns[:10]) == [
        "model", "axis", "comparison", "language", "n_subjects", "tau", "ci_low", "ci_high", "baseline_tau",
        "tau_beyond_prior",
    ]  # fmt: skip
    missing = set(tables["unmatched"][["kind", "name", "missing_in"]].itertuples(index=False, name=None))
    assert ("subject", "only", "the scores of m (en)") in missing
    assert ("subject", "more", "the counts") in missing
    assert ("group", "w", "the counts") in missing
    assert ("group", "z", "prevalence") in missing


def test_a_subject_without_a_ranking_takes_no_part_in_what_is_beyond_the_prior() -> None:
    rng = np.random.default_rng(0)
    subjects = [f"s{i}" for i in range(60)]
    counts = pd.DataFrame(rng.poisson(50 * np.exp(rng.normal(size=(60, 3)))), index=subjects, columns=list("xyz"))
    scores = scores_table(
        {s: {g: [float(v)] for g, v in zip("xyz", rng.normal(size=3), strict=True)} for s in subjects}
    )
    never = scores_table({f"n{i}": {"x": [2.0], "y": [1.0], "z": [0.0]} for i in range(40)})

    def beyond(some_counts: pd.DataFrame, some_scores: pd.DataFrame) -> pd.Series:
        long = some_counts.rename_axis("subject").melt(ignore_index=False, var_name="group", value_name="count")
        table = long.reset_index().assign(axis="a", window=pd.array([None] * len(long), dtype="Int64"), unit="imported")
        return agree({"a": table}, some_scores, {}, window=None, unit="documents", score="logprob", **SETTINGS)[
            "tau"
        ].loc[0]

    alone = beyond(counts, scores)
    zero = pd.DataFrame(0, index=[f"n{i}" for i in range(40)], columns=list("xyz"))
    together = beyond(pd.concat([counts, zero]), pd.concat([scores, never]))
    assert together["tau_beyond_prior"] == alone["tau_beyond_prior"]
    assert together["baseline_tau"] == alone["baseline_tau"]
    assert (together["n_subjects"], together["n_undefined"], alone["n_undefined"]) == (60, 40, 0)


def test_a_prevalence_without_anything_beyond_the_prior_has_none_in_any_unit() -> None:
    rng = np.random.default_rng(1)
    groups, subjects = np.array([1.0, 2.0, 4.0, 8.0]), np.exp(rng.normal(size=80) - 3)
    noise = np.exp(rng.normal(size=(80, 4)) * 0.01)
    for per in (1.0, 1e4):
        left = centred(log_prevalence(per * np.outer(subjects, groups)))
        assert np.abs(left).max() < 1e-6
    np.testing.assert_allclose(centred(log_prevalence(noise)), centred(log_prevalence(1e4 * noise)), atol=1e-8)
    assert log_prevalence([[0.0, 2.0]])[0, 0] == pytest.approx(0.0)


def test_a_model_that_joins_nothing_is_an_error_and_one_that_knows_none_of_both_is_a_row() -> None:
    settings = {"window": 250, "unit": "documents", "score": "logprob", **SETTINGS}
    with pytest.raises(InputError, match="the scores of m"):
        agree({"a": made_counts()}, scores_table({"else": {"x": [-1], "y": [-2]}}), {}, **settings)
    row = agree({"a": made_counts()}, scores_table({"s1": {"x": [np.nan], "y": [-2]}}), {}, **settings)["tau"].loc[0]
    assert row["n_subjects"] == 0
    assert np.isnan(row["tau"])
    assert (row["window"], row["unit"]) == (250, "imported")


def test_a_group_that_a_subject_lacks_costs_neither_the_subject_nor_others() -> None:
    scores = scores_table({"s1": {"x": [3, 1], "y": [1, 2]}, "s2": {"x": [0, 0], "y": [2, 2], "z": [1, 1]}})
    assert scores_of(scores, "logprob").loc["s1", ["x", "y"]].tolist() == [2, 1.5]
    places = first_and_last(scores, "logprob").query("template_id == 'all'").set_index("group")
    assert places["n_first"].to_dict() == {"x": 1, "y": 1, "z": 0}
    assert set(places["n_subjects"]) == {2}
    assert len(rank_spread(scores, "logprob")) == 5
    assert template_variation(scores, "logprob", **SETTINGS).loc[0, "share_modal_first"] == pytest.approx(0.75)


def test_prevalence_of_another_axis_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "p.csv", "subject,group,prevalence,source\nflu,x,3,A\nflu,male,4,A\n")
    table = read_prevalence(path, "a", Naming(group_ids={"x": "x"}), 10_000, None)
    assert table["group"].tolist() == ["x"]
    assert "drops groups that are not in the axis a: male" in caplog.text


def test_quartiles_are_by_total_count() -> None:
    assert list(quartiles(pd.Series([5, 1, 3, 2]))) == ["Q4", "Q1", "Q3", "Q2"]
    assert list(quartiles(pd.Series([], dtype=float))) == []


# Windows, prevalence, rankings


def counted(values: dict[int | None, list[list[int]]]) -> pd.DataFrame:
    rows = [
        ("a", f"s{i}", group, window, "documents", count)
        for window, table in values.items()
        for i, row in enumerate(table)
        for group, count in zip("xyz", row, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["axis", "subject", "group", "window", "unit", "count"])
    return table.assign(window=table["window"].astype("Int64"))


def test_windows_are_compared_with_the_widest() -> None:
    counts = counted({10: [[3, 2, 1], [1, 2, 2]], 250: [[30, 20, 10], [2, 1, 3]], None: [[40, 30, 10], [4, 2, 6]]})
    table = window_agreement(counts, **SETTINGS)
    assert list(table["window"].fillna(-1)) == [10, -1]
    assert list(table["share_identical"]) == [0.5, 1.0]
    assert table["tau"].iloc[1] == 1
    ranks = rank_counts(counts).query("subject == 's1' and window == 10").set_index("group")["rank"]
    assert ranks.to_dict() == {"x": 3, "y": 1.5, "z": 1.5}


def test_counts_stand_beside_prevalence_with_a_margin_of_error() -> None:
    counts = pd.DataFrame({"x": [75.0, 4.0], "y": [25.0, 4.0]}, index=["s1", "s2"])
    prevalence = pd.DataFrame({"x": [100.0, np.nan], "y": [300.0, 5.0]}, index=["s1", "s2"])
    table = prevalence_gaps("a", counts, prevalence, 1, 0.95).set_index(["subject", "group"])
    row = table.loc[("s1", "x")]
    assert row["difference"] == pytest.approx(0.5)
    # Wilson: 75 of 100 is .657 to .825.
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((0.6570 - 0.25, 0.8246 - 0.25), abs=1e-4)
    assert row["margin_of_error"] == pytest.approx((0.8246 - 0.6570) / 2, abs=1e-4)
    assert (row["count_rank"], row["prevalence_rank"], row["count_per_10000"]) == (1, 2, 7500)
    assert row["among_top"]
    assert set(table.index.get_level_values("subject")) == {"s1"}  # of s2 a single group is known


def test_a_group_that_was_never_counted_has_a_margin_of_error() -> None:
    counts = pd.DataFrame({"x": [50.0, 0.0], "y": [0.0, 0.0]}, index=["s1", "never"])
    prevalence = pd.DataFrame({"x": [1.0, 1.0], "y": [1.0, 1.0]}, index=counts.index)
    table = prevalence_gaps("a", counts, prevalence, 1, 0.95).set_index(["subject", "group"])
    row = table.loc[("s1", "y")]
    assert row["margin_of_error"] == pytest.approx(0.0357, abs=1e-4)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((-0.5, 0.0713 - 0.5), abs=1e-4)
    assert table.loc["never", ["difference", "margin_of_error", "ci_low", "ci_high"]].isna().all().all()


def test_first_places_ties_and_templates() -> None:
    scores = scores_table(
        {"s1": {"x": [3, 1], "y": [1, 1], "z": [0, 0]}, "s2": {"x": [0, 0], "y": [2, 2], "z": [1, 1]}}
    )
    table = first_and_last(scores, "logprob").set_index(["template_id", "group"])
    assert table.loc[("all", "x"), "n_first"] == 1
    assert table.loc[("1", "x"), "n_first"] == 0.5
    assert table.loc[("1", "y"), "n_first"] == 1.5
    assert table.loc[("all", "z"), "share_last"] == 0.5
    spread = rank_spread(scores, "logprob").set_index(["subject", "group"])
    assert spread.loc[("s1", "x"), ["lowest_rank", "highest_rank"]].to_list() == [1, 1.5]
    variation = template_variation(scores, "logprob", **SETTINGS).iloc[0]
    assert variation["n_templates"] == 2
    assert variation["tau"] == pytest.approx((2 / np.sqrt(6) + 1) / 2)
    differences = logprob_differences(scores, "logprob", **SETTINGS).set_index("group")["difference"]
    assert differences["y"] == pytest.approx((0 + 1) / 2)


def test_a_pair_of_models_is_compared_and_its_first_places_followed() -> None:
    base = scores_table({"s1": {"x": [3], "y": [2], "z": [1]}, "s2": {"x": [3], "y": [2], "z": [1]}}, "base")
    tuned = scores_table({"s1": {"x": [3], "y": [2], "z": [1]}, "s2": {"x": [1], "y": [2], "z": [3]}}, "tuned")
    pairs, changes = compare_aligned(pd.concat([base, tuned]), {"tuned": "base"}, "logprob", **SETTINGS)
    assert pairs.loc[0, ["base", "aligned"]].to_list() == ["base", "tuned"]
    assert pairs.loc[0, "tau"] == 0
    assert pairs.loc[0, "share_first_changed"] == 0.5
    moved = changes.set_index(["group_base", "group_aligned"])["n_subjects"]
    assert moved.to_dict() == {("x", "x"): 1, ("x", "z"): 1}


def test_a_subject_that_a_pair_of_models_does_not_rank_has_no_first_place() -> None:
    base = {
        "s1": {"x": [3], "y": [2], "z": [1]},
        "lost": {"x": [3], "y": [2], "z": [np.nan]},
        "part": {"x": [1], "y": [2], "z": [9]},
    }
    tuned = {
        "s1": {"x": [1], "y": [2], "z": [0]},
        "lost": {"x": [3], "y": [np.nan], "z": [9]},
        "part": {"x": [1], "y": [2], "z": [np.nan]},
    }
    scores = pd.concat([scores_table(base, "base"), scores_table(tuned, "tuned")])
    pairs, changes = compare_aligned(scores, {"tuned": "base"}, "logprob", **SETTINGS)
    # Of `lost` both score x alone; of `part` both rank y before x, and z, first in the base, is not compared.
    assert pairs.loc[0, ["n_subjects", "n_lost", "share_first_changed"]].to_list() == [2, 1, 0.5]
    moved = changes.set_index(["group_base", "group_aligned"])["n_subjects"]
    assert moved.to_dict() == {("x", "y"): 1, ("y", "y"): 1}


def test_the_baseline_is_of_the_groups_that_the_tau_is_of() -> None:
    rows = [("s1", "x", 30), ("s1", "y", 20), ("s1", "z", 10), ("s2", "x", 10), ("s2", "y", 5), ("s2", "z", 90)]
    counts = pd.DataFrame(rows, columns=["subject", "group", "count"])
    counts = counts.assign(axis="a", window=pd.array([None] * len(rows), dtype="Int64"), unit="documents")
    scores = scores_table({"s1": {"x": [3], "y": [2], "z": [np.nan]}, "s2": {"x": [3], "y": [2], "z": [4]}})
    found = agree({"a": counts}, scores, {}, window=None, unit="documents", score="logprob", **SETTINGS)["by_subject"]
    by_subject = found.set_index("subject")
    # Of s1 no score of z is known. By s2's counts x is before y, as in s1; z, s2's first and s1's last, is not asked.
    assert by_subject.loc["s1", ["n_groups", "tau", "baseline_tau"]].to_list() == [2, 1, 1]
    assert by_subject.loc["s2", "baseline_tau"] == pytest.approx(-1 / 3)


def test_mentions_have_no_ceiling() -> None:
    scores = scores_table({"s1": {"x": [3], "y": [2], "z": [1]}})
    settings = {"window": 250, "score": "logprob", **SETTINGS}
    found = {
        unit: agree({"a": made_counts().assign(unit=unit)}, scores, {}, unit=unit, **settings)["tau"].loc[0]
        for unit in ("documents", "mentions")
    }
    assert np.isnan(found["mentions"]["ceiling_tau"])
    assert 0 <= found["documents"]["ceiling_tau"] <= 1


# Missing scores


def counts_of_two_groups(subjects: list[str]) -> pd.DataFrame:
    rows = [(subject, group, count) for subject in subjects for group, count in (("x", 20), ("y", 10))]
    table = pd.DataFrame(rows, columns=["subject", "group", "count"])
    return table.assign(axis="a", window=pd.array([250] * len(rows), dtype="Int64"), unit="imported")


def test_a_missing_score_costs_its_subject_the_template_and_the_mean_is_over_the_rest() -> None:
    scores = scores_table(
        {"s1": {"x": [-1, np.nan, -3], "y": [-2, 0, -4]}, "s2": {"x": [-1, -1, -1], "y": [-2, 0, -2]}}
    )
    means = scores_of(scores, "logprob")
    # Template 1 lacks x of s1, so that y's 0 of s1 does not count either; s2 has it.
    assert means.loc["s1"].to_dict() == {"x": (-1 - 3) / 2, "y": (-2 - 4) / 2}
    assert means.loc["s2"].to_dict() == {"x": -1, "y": (-2 + 0 - 2) / 3}


def test_subjects_lost_with_missing_scores_are_counted_apart_from_those_that_are_all_ties() -> None:
    nan = np.nan
    scores = scores_table(
        {
            "ranked": {"x": [-1, -1], "y": [-2, -2]},
            "partly": {"x": [-1, nan], "y": [-2, -2]},
            "ties": {"x": [-1, -1], "y": [-1, -1]},
            "nothing": {"x": [nan, nan], "y": [nan, nan]},
            "no template whole": {"x": [-1, nan], "y": [nan, -2]},
            "one group": {"x": [-1, -1], "y": [nan, nan]},
            "not counted": {"x": [nan, nan], "y": [nan, nan]},
        }
    )
    counts = counts_of_two_groups(["ranked", "partly", "ties", "nothing", "no template whole", "one group", "no score"])
    tables = agree({"a": counts}, scores, {}, window=250, unit="documents", score="logprob", **SETTINGS)
    for row in (tables["tau"].loc[0], tables["by_score"].loc[0]):
        assert (row["n_subjects"], row["n_undefined"], row["n_lost"]) == (2, 1, 3)
        assert row["tau"] == 1
    assert tables["by_quartile"]["n_lost"].sum() == 3
    known = tables["by_subject"].set_index("subject")["n_groups"]
    assert known.to_dict() == {
        "ranked": 2, "partly": 2, "ties": 2, "nothing": 0, "no template whole": 0, "one group": 1,
    }  # fmt: skip


def test_a_prevalence_of_other_groups_alone_loses_no_subject() -> None:
    scores = scores_table({s: {"x": [-1], "y": [-2]} for s in ("s1", "s2")})
    known = pd.DataFrame(
        [("s1", "x", 1.0), ("s1", "y", 2.0), ("s2", "else", 3.0)], columns=["subject", "group", "prevalence"]
    )
    tables = agree({"a": counts_of_two_groups(["s1", "s2"])}, scores, {"a": known}, window=250, unit="documents",
                   score="logprob", **SETTINGS)  # fmt: skip
    row = tables["tau"].set_index("comparison").loc["model-prevalence"]
    assert (row["n_subjects"], row["n_lost"]) == (1, 0)


def test_an_import_says_how_many_subjects_are_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = {"flu": [["x", [-1, None]], ["y", [-3, -2]]], "gout": [["x", [None, -1]], ["y", [-3, None]]]}
    import_scores(write(tmp_path / "s.json", json.dumps(content)), "m", "a", "en", Naming(), 2)
    assert "3 of 8 scores are not numbers; 1 of 2 subjects is lost with them" in caplog.text


@pytest.mark.parametrize(
    ("entries", "part"),
    [
        ([["x", [math.nan, -1]], ["y", [-3, math.nan]]], "2 of 4 scores are not numbers"),
        ([["x", [None, None]], ["y", [None, None]]], "4 of 4 scores are not numbers"),
        ([["x", [-1, -2]]], "0 of 2 scores are not numbers"),
    ],
)
def test_an_import_that_loses_every_subject_is_one_line(tmp_path: Path, entries: list[Any], part: str) -> None:
    path = write(tmp_path / "s.json", json.dumps({"flu": entries}))
    with pytest.raises(InputError, match="got no subject with scores of two groups in one template") as caught:
        import_scores(path, "m", "a", "en", Naming(), 2)
    assert str(caught.value).startswith(f"{path}: got")
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
