"""The card of a model: its study, what it says, its file; and the cards of a study that has run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from browser import VIOLATIONS, asked, axe_program, brightness, needs_axe, needs_chromium
from leakscope.configuration.layers import shipped
from leakscope.errors import InputError
from leakscope.files.tables import read_csv
from leakscope.results.card import CardSubject, CardTables, best_mitigations, make_card
from leakscope.results.card_file import CardFile, read_card, write_card
from leakscope.results.card_page import card_document
from leakscope.results.document import as_html, as_markdown
from leakscope.results.headline import UNREAD
from leakscope.results.rows import rate_rows
from leakscope.workflow.cards.card_study import card_study
from test_results import leak_table, pair_table, rate_table
from workspace import Workspace

SERVER = {"source": "endpoint", "base_url": "http://localhost:1/v1", "model": "a/b"}
HOSTILE = "<b>x</b>|`y`"
SETTINGS = {
    "configuration": {
        "models": {"m": {"source": "local", "generation": {"samples": 3}}},
        "generation": {},
        "scorers": {"s": {"kind": "lexical"}},
        "study": {"models": ["m"]},
        "leak": {"level": 0.95, "permutations": 1000, "decimals": 3},
    },
    "models": {"m": {"weights_sha256": "0" * 64}},
    "prompt_sets": {"p": {"sha256": "1" * 64}},
    "leakscope": {"version": "0", "commit": None},
    "python": "3.11",
    "packages": {},
}


def unit_table(**match: float) -> pd.DataFrame:
    """Units of one model, each with two concepts of two groups: cluster → how often its texts are told apart."""
    told = {"kept": 1.0, "kept_match": 0.5, "unechoed": 1.0, "unechoed_match": 0.5, "effect": 0.0}
    shares = dict.fromkeys(("echo", "empty", "unfinished", "foreign"), 0.0)
    rows = [
        {"model": "m", "prompt_set": "p", "scorer": "s", "category": None, "unit": f"{name}.", "cluster": name}
        | {"concept_group": group, "concept": group, "n_groups": 2, "match": value, **told, **shares}
        for name, value in match.items()
        for group in ("red", "blue")
    ]
    return pd.DataFrame(rows)


def a_card(label: str = "A model", reads: str = "yes", **match: float) -> CardFile:
    rates = rate_table(m=64.0).assign(scorer_reads=reads)
    rows = rate_rows(rates, leak_table("m"), pair_table("m"), None, {"m": label})
    standard = {"version": 1, "differs": []}
    subject = CardSubject("study", "m", label, "p", "s", {"p": "es"}, [], standard, 0.95, 0.95, ["Not read."])
    return make_card(CardTables(rows, rates, unit_table(**(match or {"t": 0.75}))), subject, SETTINGS)


def mitigation_table() -> pd.DataFrame:
    """Three mitigations on both halves; the one with the least leak on the half that chooses keeps too little."""
    columns = ["mitigation", "split", "leak_absolute", "use_kept", "left", "chosen_at"]
    rows = [
        ("deaf", "selection", 0.0, 0.5, 0.0, "1 3"), ("deaf", "evaluation", 0.0, 0.5, 0.0, "1 3"),
        ("best", "selection", 0.1, 0.97, 0.2, "3"), ("best", "evaluation", 0.5, 0.93, 0.3, "3"),
        ("lucky", "selection", 0.2, 0.97, 0.4, "3"), ("lucky", "evaluation", 0.0, 0.99, 0.1, "3"),
        ("cheap", "selection", 0.05, 0.99, 0.1, "1"), ("cheap", "evaluation", 0.05, 0.99, 0.1, "1"),
    ]  # fmt: skip
    same = {"model": "m", "prompt_set": "p", "kind": "prompt", "chosen": "yes", "variant": None, "strength": None}
    table = pd.DataFrame(rows, columns=columns).assign(**same, left_ci_low=0.1, left_ci_high=0.5, cost=2.5)
    none = pd.DataFrame([{**table.iloc[0], "mitigation": "none", "kind": "none", "leak_absolute": -1.0}])
    return pd.concat([none, table], ignore_index=True)


# ------------------------------------------------------------------------------------------------------------ study


def test_the_study_of_a_card_is_the_standard_choice_on_one_model(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    standard = yaml.safe_load((root / "data/cards/standard.yaml").read_text())
    study = card_study("package:smollm2-135m", "", ["mitigations"], {}, shipped(root))
    content = yaml.safe_load(study.text)
    assert str(study.path) == "results/smollm2-135m.card.mitigations/study.yaml"
    assert content["study"]["models"] == ["smollm2-135m", *standard["organisms"]]
    assert [content["study"][key] for key in ("prompt_sets", "scorers")] == [
        standard["prompt_sets"],
        standard["scorers"],
    ]
    assert content["study"]["steps"] == ["leak", "trace"]
    assert content["models"] == {"smollm2-135m": {"generation": standard["generation"]}}
    assert content["trace"] == {"mitigations": standard["mitigations"]}
    assert "#   make card MODEL=smollm2-135m WITH=mitigations" in study.text.splitlines()


def test_a_model_behind_a_server_is_named_as_in_its_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    brought = {"mine": SERVER, "again": {"extends": "mine", "generation": {"system": None, "samples": 9}}}
    models = yaml.safe_load(card_study("again", "", [], brought, shipped(root), "my.yaml").text)["models"]
    assert models["mine"] == SERVER
    assert models["again"]["extends"] == "mine"
    assert models["again"]["generation"] == {"system": None, "samples": 2, "temperature": 0.5, "max_new_tokens": 10}


def test_a_model_that_two_are_made_from_is_written_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    local = {"extends": "smollm2-135m"}
    fixed = {"source": "randomised", "base": "mine"}
    brought = {"mine": local, "fixed": fixed, "both": {"extends": "fixed", "base": "mine"}}
    models = yaml.safe_load(card_study("both", "", [], brought, shipped(root)).text)["models"]
    assert list(models) == ["both", "fixed", "mine"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (5, "models.mine: got 5; allowed: a mapping with a source"),
        ({"extends": "mine"}, "models.mine.extends: got the cycle mine -> mine"),
        ({"extends": ["x"]}, 'models.mine.extends: got ["x"]; allowed: the name of another model'),
        ({**SERVER, "generation": 5}, "models.mine.generation: got 5; allowed: a mapping"),
    ],
)
def test_a_mistake_in_the_file_of_the_model_is_one_line(root: Path, entry: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        card_study("mine", "", [], {"mine": entry}, shipped(root), "my.yaml")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("model", "with_", "said"),
    [
        ("", [], "MODEL=: got nothing; allowed: MODEL=package:smollm2-135m"),
        ("smollm2", [], "MODEL=smollm2: got nothing of that name; allowed: "),
        ("smollm2-135m", ["plots"], "WITH: got 'plots'; allowed: mitigations."),
    ],
)
def test_a_mistake_is_one_line(root: Path, model: str, with_: list[str], said: str) -> None:
    with pytest.raises(InputError) as error:
        card_study(model, "", with_, {}, shipped(root))
    assert str(error.value).startswith(said)
    assert len(str(error.value).splitlines()) == 1


# ------------------------------------------------------------------------------------------------------------- card


def test_a_card_is_read_as_it_was_written_and_its_units_are_digests(tmp_path: Path) -> None:
    card = a_card(t1=0.75, t2=0.5)
    write_card(card, tmp_path / "m.json")
    assert read_card(tmp_path / "m.json") == card
    (units,) = card.units
    assert units.match == [0.75, 0.5]
    # printf 't1.' | sha256sum
    assert units.unit[0] == "d519405b96e6849f"
    assert "t1" not in (tmp_path / "m.json").read_text()


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 2}'])
def test_what_is_no_card_is_said_in_short_lines(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError) as error:
        read_card(tmp_path / "x.json")
    assert all(line.startswith(str(tmp_path / "x.json")) for line in str(error.value).splitlines())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"match": [0.75]}, "got lists of 1 to 2 entries; allowed: lists of equal length"),
        ({"unit": ["one", "one"], "cluster": ["t", "t"]}, "got a unit twice; allowed: each unit of a category once"),
        ({"match": [0.75, 7.0]}, "units.0.match.1: got 7.0; allowed: "),
        ({"n_groups": [2, -2]}, "units.0.n_groups.1: got -2; allowed: "),
    ],
)
def test_outcomes_that_no_study_has_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    content = a_card(t1=0.75, t2=0.5).model_dump()
    content["units"][0] |= changes
    (tmp_path / "m.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        read_card(tmp_path / "m.json")
    assert said in str(error.value)


def test_the_headline_follows_from_the_interval_and_what_a_scorer_cannot_read_has_no_verdict() -> None:
    read, unread = (as_markdown(card_document(a_card(reads=word), {})) for word in ("yes", "no"))
    assert "**A model leaks: of 100 pairs of its texts, 64 can be matched" in read
    assert "| p (es) | all | 64.0 | 59.0 to 69.0 |" in read
    assert UNREAD not in read
    assert "**A model gets no verdict, as the scorer does not read this language: of 100 pairs" in unread
    assert "A model leaks" not in unread
    assert "- p by s, " in read.partition("What could be detected")[2]
    assert "- p by s, " not in unread  # of numbers that say nothing
    assert "- Not read." in read.partition("When not to believe it")[2]


def test_the_best_mitigation_is_chosen_by_one_half_and_measured_by_the_other() -> None:
    (found,) = best_mitigations(mitigation_table(), "m", 0.95)
    assert (found.mitigation, found.left, found.use_kept, found.cost) == ("best", 0.3, 0.93, 2.5)
    assert best_mitigations(None, "m", 0.95) == best_mitigations(mitigation_table(), "other", 0.95) == []


def test_names_stay_text_on_the_page_and_in_markdown() -> None:
    document = card_document(a_card(HOSTILE), {"file": "a b.json"})
    page = as_html(document)
    assert HOSTILE not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert 'href="a%20b.json"' in page
    assert "<script" not in page
    assert r"\<b\>x\</b\>\|\`y\`" in as_markdown(document)
    assert page == as_html(card_document(a_card(HOSTILE), {"file": "a b.json"}))


# ------------------------------------------------------------------------------------------------------------- page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("card") / "card.html"
    path.write_text(as_html(card_document(a_card("A model of a rather long name"), {"JSON": "m.json"})))
    return path


@pytest.mark.browser
@needs_chromium
def test_a_phone_shows_the_whole_page(page: Path) -> None:
    script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    probe = page.with_name("probe.html")
    # A card has no script, and allows none: the probe needs both.
    text = page.read_text().replace("default-src 'none'", "script-src 'unsafe-inline'")
    probe.write_text(text.replace("<title>", "<script>const $ = id => document.getElementById(id);</script><title>", 1))
    assert asked(probe, script, ready="true", width=390) <= 0


@pytest.mark.browser
@needs_chromium
def test_the_card_is_dark_where_the_reader_prefers_it(page: Path, tmp_path: Path) -> None:
    corner = brightness(page, tmp_path)
    assert corner["dark"] < 0.2 < 0.9 < corner["light"]


@pytest.mark.browser
@needs_chromium
@needs_axe
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_that_keeps_a_reader_out(page: Path, tmp_path: Path, *, dark: bool) -> None:
    probe = tmp_path / "probe.html"
    text = page.read_text().replace("default-src 'none'", "script-src 'unsafe-inline'")
    probe.write_text(text.replace("<title>", "<script>const $ = id => document.getElementById(id);</script><title>", 1))
    assert asked(probe, VIOLATIONS, ready="true", before=axe_program(), dark=dark) == []


# --------------------------------------------------------------------------------------------------------- workflow


@pytest.mark.workflow
def test_the_cards_of_a_study_say_what_its_tables_say_and_compare(finished: Workspace, tmp_path: Path) -> None:
    own = finished.copy(tmp_path / "checkout")
    own.run("--cores", "1", "card")
    results = own.folder / "results/micro"
    cards = {path.stem: read_card(path) for path in sorted((results / "card").glob("*.json"))}
    assert list(cards) == ["tiny-l0", "tiny-l100"]  # of organisms, where there are no other models
    rates, logit, calibration, truth = (
        read_csv(results / f"{name}.csv") for name in ("match_rates", "logit_leak", "calibration", "truth")
    )
    for model, card in cards.items():
        table = rates[rates["model"] == model]
        assert [row.rate for row in card.rates] == pytest.approx(table["match_rate"].tolist())
        assert [row.low for row in card.rates] == pytest.approx(table["ci_low"].tolist())
        shifts = logit.loc[logit["model"] == model, "log_odds_shift"].tolist()
        assert [row.shift for row in card.logit_leak] == pytest.approx(shifts)
        assert card.standard.differs[:3] == ["prompt_sets", "scorers", "organisms"]
        assert f"of 100 pairs of its texts, {card.rates[2].rate:.0f} can be" in card.headline
    exact = truth[(truth["model"] == "tiny-l100") & (truth["category"] == "all")]["true_match_rate_organism"]
    found = [row.truth for row in cards["tiny-l0"].organisms if row.model == "tiny-l100"]
    assert found == pytest.approx(exact.tolist())
    errors = calibration[(calibration["measure"] == "match_rate") & (calibration["category"] == "all")]["mean_error"]
    assert [row.mean_error for row in cards["tiny-l0"].calibration] == pytest.approx(errors.tolist())
    assert cards["tiny-l0"].settings["models"] == json.loads((results / "provenance.json").read_text())["models"]

    said = compared(own.folder, "results/micro/card/tiny-l0.json", "results/micro/card/tiny-l100.json")
    assert said.startswith("3 settings differ; of 6 paired match rates, some differ.\n")
    folder = own.folder / "results/compare/micro-tiny-l0--micro-tiny-l100"
    differences, comparisons = read_csv(folder / "differences.csv"), read_csv(results / "comparisons.csv")
    kept = ["prompt_set", "scorer", "category", "difference", "ci_low", "ci_high", "p_value", "effect_size"]
    same = comparisons.loc[comparisons["measure"] == "match_rate", kept]
    pd.testing.assert_frame_equal(differences[kept], same.reset_index(drop=True), check_dtype=False)
    page = (folder / "index.html").read_text()
    assert page.index("What differs in settings") < page.index("What differs in match rates")
    said = compared(own.folder, "results/micro/card/tiny-l0.json", "results/micro")
    assert said.startswith("No setting differs, and no match rate that could be paired.\n")


def compared(folder: Path, a: str, b: str) -> str:
    command = [sys.executable, "scripts/compare.py", f"--a={a}", f"--b={b}"]
    environment: dict[str, Any] = {"PYTHONPATH": str(folder / "scripts")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
