"""The page that asks people: answered by keyboard, saved, and read back through the study."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import browser
from browser import VIOLATIONS, axe_program, needs_axe, needs_chromium
from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.leak.rating.page import write_rating_page
from leakscope.leak.rating.ratings import RATING_COLUMNS, read_ratings
from leakscope.workflow.leak import Leak
from leakscope.workflow.study import Study
from test_ratings import sample
from workspace import Workspace

HOSTILE = "<b>x</b><script>document.title='owned'</script>\" & {{payload}}, \"\n=1"
asked = partial(browser.asked, ready="document.body.dataset.ready")
# What a save would hand to the browser is kept, and nothing is saved.
CAUGHT = """URL.createObjectURL = blob => { window.blob = blob; return "blob:x"; };
  HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; };"""
KEYS = """const begin = name => { $("name").value = name; $("start").requestSubmit(); };
  const pressing = key => new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true});
  const press = key => document.activeElement.dispatchEvent(pressing(key));
  const texts = found => [...document.querySelectorAll(found)].map(node => node.textContent);
  const saved = async () => { press("s"); return [savedAs, await blob.text()]; };"""
# Everything is answered by what stands on the page; `knows` says which text belongs to the concept in question.
RIGHT = """const shown = () => [texts("#question mark")[0], ...texts(".answers .text")];
  for (const _ of sample.items) { const [concept, one] = shown(); press(knows(concept, one) ? "1" : "2"); }"""


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    """Eight comparisons; in each the right text is known by its name, one is empty and one means no good."""
    table = sample()
    for place in table.index:
        for side in "12":
            table.loc[place, f"text_{side}"] = f"of {table.loc[place, f'concept_{side}']}, number {place}"
    table.loc[3, ["text_1", "concept_1"]] = HOSTILE, HOSTILE
    table.loc[4, "text_2"] = ""
    return table


@pytest.fixture
def page(items: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "rate.html"
    write_rating_page(items, path, study=f"study {HOSTILE}")
    return path


def test_the_page_asks_for_nothing_from_elsewhere_and_names_no_model(page: Path, items: pd.DataFrame) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?:", text)
    assert not re.search(r"<(link|iframe|img)\b|<script[^>]+src|@import|url\(", text)
    assert "default-src 'none'" in text
    assert text.count("</script>") == 2
    assert "<b>x</b>" not in text
    again = page.with_name("again.html")
    write_rating_page(items.sample(frac=1, random_state=0).assign(model="n"), again, study=f"study {HOSTILE}")
    assert again.read_bytes() == page.read_bytes()


@pytest.mark.browser
@needs_chromium
def test_a_rater_answers_by_keyboard_and_the_file_is_read(page: Path, items: pd.DataFrame, tmp_path: Path) -> None:
    script = f"""{KEYS} begin(' Anna "B", x ');
      const knows = (concept, one) => concept === one || one.startsWith("of " + concept)
        || one.startsWith("(nothing") && concept === "blue";
      const first = texts("#progress")[0];
      {RIGHT}
      const last = texts("#progress")[0], pressed = () => texts(".answers [aria-pressed=true] kbd");
      const end = $("on").disabled && $("open").disabled;
      press("ArrowLeft"); press("ArrowLeft"); press("0"); press("ArrowLeft");
      const changed = pressed();
      return [first, last, end, changed, document.title, ...await saved()];"""
    first, last, end, changed, title, name, text = asked(page, script, before=CAUGHT)
    assert first == "Question 1 of 8, 0 answered."
    assert last == "Question 8 of 8, 8 answered. All questions are answered: save the answers as a file."
    assert end
    assert changed == ["0"]
    assert title == f"study {HOSTILE} · leakscope rating".replace("\n", " ")
    assert name.endswith("-ratings.csv")
    path = tmp_path / "saved.csv"
    path.write_text(text, encoding="utf-8", newline="")
    table = pd.read_csv(path, dtype=str)
    assert list(table) == list(RATING_COLUMNS)
    assert set(table["rater"]) == {'anna "b", x'}
    found = read_ratings([path], items).answers
    assert sorted(found["outcome"]) == [0.5, *[1.0] * 7]
    assert set(found["rater"]) == {"rater-1"}


@pytest.mark.browser
@needs_chromium
def test_orders_hang_on_the_rater_and_answers_outlast_a_reload(page: Path) -> None:
    script = f"""{KEYS}
      if (sessionStorage.again) {{
        begin("anna"); const kept = Object.keys(answers).length, where = texts("#progress")[0];
        begin("Ben"); const other = Object.keys(answers).length;
        return [JSON.parse(sessionStorage.again), kept, where, other];
      }}
      const drawn = item => [item, orderOf("text", item), orderOf("concept", item)];
      const orders = name => {{ begin(name); return line.map(drawn); }};
      const found = [orders("Ben"), orders("anna"), orders("ANNA ")];
      press("1"); press("2");
      sessionStorage.again = JSON.stringify(found);
      location.reload();
      await wait(5000);"""
    (ben, anna, again), kept, where, other = asked(page, script)
    assert anna == again != ben
    assert sorted(row[0] for row in anna) == list(range(8))
    assert len({(*row[1:],) for row in anna + ben}) == 4
    assert (kept, other) == (2, 0)
    assert where == "Question 3 of 8, 2 answered."


@pytest.mark.browser
@needs_chromium
def test_draws_are_even_over_raters_and_items(page: Path) -> None:
    script = """const raters = Array.from({length: 60}, (_, i) => "rater " + i), found = [0, 0, 0, 0];
      const places = Array(8).fill(0);
      for (const name of raters) {
        $("name").value = name; $("start").requestSubmit();
        places[line.indexOf(0)]++;
        for (const item of line) found[2 * (orderOf("text", item) === "12") + (orderOf("concept", item) === "12")]++;
      }
      return [found, places];"""
    orders, places = asked(page, script)
    assert sum(orders) == 480
    # Chi-squared of 3 and 7 degrees, .999.
    assert sum((np.array(orders) - 120) ** 2 / 120) < 16.3
    assert sum((np.array(places) - 7.5) ** 2 / 7.5) < 24.4


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_fits_a_phone_and_says_where_a_browser_keeps_nothing(page: Path, width: int) -> None:
    before = "Storage.prototype.setItem = () => { throw new Error('full'); };"
    script = f"""{KEYS} const over = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
      const start = over(), hidden = $("notice").hidden;
      begin("x"); document.querySelector("#answer-first").click();
      const found = [$("notice").textContent, texts(".answers button").length, document.activeElement.id];
      return [start, over(), hidden, ...found];"""
    start, asking, hidden, notice, n_buttons, focused = asked(page, script, width=width, before=before)
    assert max(start, asking) <= 0
    assert hidden
    assert "save your answers as a file before you close the page" in notice
    assert n_buttons == 3
    assert focused == "question"


@pytest.mark.browser
@needs_chromium
@needs_axe
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1400, True)])
def test_axe_finds_nothing_that_keeps_a_rater_out(page: Path, width: int, dark: bool) -> None:
    script = f"""{KEYS} const check = async () => {{ {VIOLATIONS} }}; const start = await check();
      begin("x"); press("1"); press("ArrowLeft"); return [start, await check()];"""
    assert asked(page, script, width=width, before=axe_program(), dark=dark) == [[], []]


# In a study.

# What a text of the micro study says of colors.
COLORS = {"cherry": "red", "lime": "green", "plum": "blue", "red": "red", "green": "green", "blue": "blue"}


def answer_page(folder: Path) -> list[str]:
    """Return the files of a rater who knows the color of every fruit, and of one who takes the first text."""
    script = f"""{KEYS} begin("Secret Name"); const colors = {json.dumps(COLORS)};
      const words = Object.keys(colors);
      const knows = (concept, one) => words.some(word => one.includes(word) && concept.includes(colors[word]));
      {RIGHT} const informed = (await saved())[1];
      begin("Another"); for (const _ of sample.items) press("1");
      return [informed, (await saved())[1]];"""
    found: list[str] = asked(folder / "rate.html", script, before=CAUGHT)
    (folder / "probed1280.html").unlink()
    return found


def fill_sheet(folder: Path) -> list[str]:
    """Return the same of two who fill in the sheet."""
    table = pd.read_csv(folder / "items.csv")
    pairs = zip(table["first_concept"], table["first_text"], strict=True)
    knows = [any(word in text and color in concept for word, color in COLORS.items()) for concept, text in pairs]
    informed = table.assign(answer=[1 if known else 2 for known in knows], rater="Secret Name")
    return [informed.to_csv(index=False), table.assign(answer="first").to_csv(index=False)]


@pytest.mark.workflow
@pytest.mark.parametrize("answer", [fill_sheet, pytest.param(answer_page, marks=[pytest.mark.browser, needs_chromium])])
def test_people_take_the_test_of_a_study_and_its_tables_have_their_rates(
    finished: Workspace, tmp_path: Path, answer: Callable[[Path], list[str]]
) -> None:
    micro = finished.copy(tmp_path / "checkout")
    micro.study["rating"] = {"items": 12}
    micro.run("--cores", "1", "rate")
    folder = micro.folder / "results/micro/rating"
    items = pd.read_parquet(folder / "items.parquet")
    assert items.groupby("model")["weight"].sum().round(6).to_dict() == {"tiny-l0": 1, "tiny-l100": 1}
    files: list[Path] = []
    for number, text in enumerate(answer(folder)):
        files.append(micro.folder / f"ratings-{number}.csv")
        files[-1].write_text(text, encoding="utf-8", newline="")
    micro.study["rating"]["ratings"] = [path.name for path in files]
    micro.run("--cores", "1", "results/micro/rating/ratings.csv")
    rates = pd.read_csv(folder / "ratings.csv").set_index(["model", "rater"])
    assert rates.loc["all", "kind"].to_dict() == {
        "majority": "people", "rater-1": "person", "rater-2": "person", "lexical": "scorer", "sbert-minilm": "scorer",
    }  # fmt: skip
    informed = rates.xs("rater-1", level="rater")["match_rate"]
    assert informed["tiny-l100"] > 85
    assert informed["tiny-l0"] < 85
    assert rates.loc[("all", "rater-2"), "first_bias"] == 50
    agreement = pd.read_csv(folder / "agreement.csv").set_index(["model", "rater_a", "rater_b"])
    pairs = {("any", "any"), ("majority", "lexical"), ("rater-1", "rater-2")}
    assert {("all", *pair) for pair in pairs} <= set(agreement.index)
    written = [path for path in (micro.folder / "results").rglob("*") if path.is_file()]
    assert not [path for path in written if b"secret name" in path.read_bytes().lower()]


def resolved(root: Path, **rating: Any) -> dict[str, Any]:
    return resolve(shipped(root), {"seed": 7, "rating": rating})


def test_a_file_of_answers_that_is_not_there_is_said_before_anything_runs(root: Path) -> None:
    assert resolved(root)["rating"] == {"items": 100, "ratings": [], "seed": 7}
    assert resolved(root, seed=1)["rating"]["seed"] == 1
    message = "config: rating.ratings.0: got 'no.csv'; allowed: a file that exists."
    with pytest.raises(InputError, match=re.escape(message)):
        resolved(root, ratings=["no.csv"])


def test_tables_of_raters_are_made_where_somebody_answered(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (tmp_path / "mine.csv").touch()
    tables = {"<results>/rating/ratings.csv", "<results>/rating/agreement.csv"}
    answered = Leak(Study(resolved(root, ratings=[str(tmp_path / "mine.csv")])))
    assert answered.ratings == [str(tmp_path / "mine.csv")]
    assert tables <= set(answered.targets())
    assert not tables & set(Leak(Study(resolved(root))).targets())
