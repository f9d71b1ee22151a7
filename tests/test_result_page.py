"""The result page as a person opens it: in a browser, at every width, with names that mean no good."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image

import browser
from browser import VIOLATIONS, axe_program, brightness, needs_axe, needs_chromium
from leakscope.results.example import TextSide
from leakscope.results.page import Leading, LeftOut, PageSection, Rates, foremost, write_result_page
from leakscope.results.rows import rate_rows
from leakscope.results.steps import StepFinding
from test_results import KEYS, leak_table, pair_table, rate_table

HOSTILE = "<b>x</b><script>document.title='owned'</script>\" & {{data}}"


def make_rates(**changes: Any) -> Rates:
    """Two models, one of which has a hostile name, and an organism whose truth is known; one scorer."""
    import pandas as pd

    models = {"real": "A real model", "bad": HOSTILE, "organism": "organism"}
    truth = pd.DataFrame([{"model": "organism", **KEYS, "true_match_rate_organism": 80.5}])
    table = rate_table(real=64.0, bad=52.0, organism=81.0)
    rows = rate_rows(table, leak_table(*models), pair_table(*models), truth, models)
    pair = (TextSide("red", "It is red.", "a poppy <i>"), TextSide("blue", "It is blue.", "the sea"))
    plain = Rates(rows, Leading(["real", "bad"], "p", "s"), ["organism"], pair, 0.95)
    return plain._replace(**changes)


def make_page(folder: Path, rates: Rates | None, left_out: LeftOut | None = None) -> Path:
    figure = folder / "figure.png"
    image.imsave(figure, np.ones((40, 900, 3)))
    found = StepFinding("M ranks colors.", ["model", "tau"], [[HOSTILE, ".38"]])
    sections = [PageSection("ground", found, figure, "Agreement", {"kendall_tau.csv": "ground/kendall_tau.csv"})]
    if rates:
        sections.insert(0, PageSection("leak", None, None, "", {"Explorer": "explorer.html"}))
    path = folder / "index.html"
    missing = left_out or LeftOut({"failed": HOSTILE}, ["brought"])
    write_result_page(path, f"study {HOSTILE}", rates, sections, missing)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_page(tmp_path_factory.mktemp("page"), make_rates())


@pytest.fixture(scope="module")
def ground_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_page(tmp_path_factory.mktemp("ground"), None)


asked = partial(browser.asked, ready="!data.chart || document.body.dataset.drawn")


def test_nothing_that_loads_comes_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    document = re.sub(r"<script\b.*?</script>", "", text, flags=re.S)
    assert not re.search(r"(?:src|href|srcset|action)=\W?https?:|url\(|@import|<link|<iframe", document)
    assert re.findall(r'src="([^",]*)', document) == ["data:image/png;base64"]
    assert "default-src 'none'" in text


def test_names_cannot_leave_the_place_where_they_are_printed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<b>x</b>" not in text
    assert "<script>document.title" not in text
    assert text.count("</script>") == 3
    assert "a poppy &lt;i&gt;" in text
    assert "It is <mark>red</mark>." in text


def test_the_headline_has_a_sentence_for_each_model_that_leads(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"<h1>(.*?):", text) == ["A real model leaks"]
    assert "is not distinguishable from chance: of 100 pairs of its texts, 52" in text
    assert "failed: &lt;b&gt;x" in text
    assert "read from files: brought." in text


def many_rates(n: int) -> Rates:
    """Models of which one more and more leaks: 48, 49, ... of 100 pairs."""
    models = [f"m{i}" for i in range(n)]
    rates = rate_table(**{model: 48.0 + i for i, model in enumerate(models)})
    rows = rate_rows(rates, leak_table(*models), pair_table(*models), None, dict(zip(models, models, strict=True)))
    return make_rates(rows=rows, leading=Leading(models, "p", "s"), organisms=[])


def test_of_many_models_the_highest_leads_and_what_they_have_alike_is_said_once(tmp_path: Path) -> None:
    rates = many_rates(37)
    failed = LeftOut({f"failed{i}": "broken." for i in range(3)}, [f"m{i}" for i in range(37)])
    text = make_page(tmp_path, rates, failed).read_text()
    assert foremost(rates.rows, rates.leading) == "m36"
    assert "<h1>29 of 37 models leak, m36 most: of 100 pairs of its texts, 84 can" in text
    assert "3 of 40 models are missing: <a href=" in text
    assert "Two texts of m36 that the scorer gives to the right concepts" in text
    assert "m36 is named for being the highest of 37" in text
    assert "<summary>Written or scored elsewhere, and read from files: 37 models.</summary>" in text
    seen = re.sub(r"<script\b.*?</script>", "", text, flags=re.S)
    assert seen.count("<li>") < 20


@pytest.mark.browser
@needs_chromium
def test_many_models_are_sorted_by_their_rates_and_a_click_sorts_them_anew(tmp_path: Path) -> None:
    names = """const texts = found => [...document.querySelectorAll(found)].map(node => node.textContent);
      const names = () => texts("#models tbody th").slice(0, 2), first = names();
      const axis = texts("#chart svg .role-axis-label text").find(text => text.startsWith("m"));
      document.querySelector("#models th[data-key=rate] button").click();
      document.querySelector("#models th[data-key=rate] button").click();
      return [first, axis, names(), document.querySelectorAll("#chart svg .mark-symbol path").length];"""
    assert asked(make_page(tmp_path, many_rates(37)), names) == [["m36", "m35"], "m36", ["m0", "m1"], 37]


def test_a_scorer_that_does_not_read_the_language_is_a_reason_for_doubt(tmp_path: Path) -> None:
    text = make_page(tmp_path, make_rates(unread=["sbert was made to read en, and not farben (de)."])).read_text()
    assert "<ul><li>sbert was made to read en, and not farben (de).</li>" in text.partition("When not to believe it")[2]


def test_equal_results_give_equal_bytes(page: Path, tmp_path: Path) -> None:
    assert make_page(tmp_path, make_rates()).read_bytes() == page.read_bytes()


def test_without_failures_nothing_is_said_of_them(tmp_path: Path) -> None:
    text = make_page(tmp_path, make_rates(), LeftOut({}, [])).read_text()
    assert "What failed" not in text
    assert "What was imported" not in text


def test_a_study_without_leak_has_its_own_headline_and_no_chart(ground_page: Path) -> None:
    text = ground_page.read_text(encoding="utf-8")
    assert "<h1>M ranks colors.</h1>" in text
    assert "Step ground" in text
    assert "When not to believe it" not in text
    assert len(text) < 100_000


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("width", [390, 800, 1400, 3840])
def test_the_page_fits_every_width_and_draws_its_figure(page: Path, width: int) -> None:
    script = """return [document.documentElement.scrollWidth - document.documentElement.clientWidth, document.title,
      ...["#chart svg .mark-symbol path", "#models tbody tr"].map(found => document.querySelectorAll(found).length)]"""
    over, title, points, rows = asked(page, script, width=width)
    assert over <= 0
    assert title == f"study {HOSTILE} · leakscope"
    assert points == 4  # three models, one of which has a truth
    assert rows == 3


@pytest.mark.browser
@needs_chromium
def test_a_study_without_leak_opens_without_an_error(ground_page: Path) -> None:
    assert asked(ground_page, 'return getComputedStyle($("choices").closest("section")).display') == "none"


@pytest.mark.browser
@needs_chromium
def test_the_table_is_sorted_searched_and_saved_as_it_is_seen(page: Path) -> None:
    script = """
      const names = () => [...document.querySelectorAll("#models tbody th")].map(cell => cell.textContent);
      const press = key => document.querySelector(`th[data-key=${key}] button`).click();
      const found = [];
      press("rate"); found.push(names().map(name => name.slice(0, 6)));
      press("rate"); found.push(names().map(name => name.slice(0, 6)));
      press("truth"); found.push(names()[0]);
      found.push(document.querySelector("[aria-sort]").dataset.key);
      $("search").value = "REAL"; $("search").dispatchEvent(new Event("input"));
      found.push(names(), $("found").textContent, csvText(), latexText());
      return found;"""
    down, up, by_truth, sorted_by, names, count, table, latex = asked(page, script)
    assert down == ["organi", "A real", "<b>x</"]
    assert up == down[::-1]
    assert by_truth == "organism"  # the only one that has a truth
    assert sorted_by == "truth"
    assert names == ["A real model"]
    assert count == "1 of 3 models"
    assert table.splitlines()[0].startswith("model,verdict,rate,low,high,truth")
    assert table.splitlines()[1].startswith("A real model,leaks,64,59,69,,")
    assert len(table.splitlines()) == 2
    assert "A real model & leaks & 64.0 & 59.0 & 69.0 &  &" in latex
    assert "match rate (\\%)" in latex


@pytest.mark.browser
@needs_chromium
def test_the_buttons_save_files(page: Path) -> None:
    before = "HTMLAnchorElement.prototype.click = function () { (window.saved ||= []).push(this.download); };"
    script = '$("csv").click(); $("latex").click(); return saved.map(name => name.split("-models.")[1]);'
    assert asked(page, script, before=before) == ["csv", "tex"]


@pytest.mark.browser
@needs_chromium
def test_a_point_leads_to_the_explorer_and_hovering_says_its_numbers(page: Path) -> None:
    before = """HTMLAnchorElement.prototype.dispatchEvent = function () { window.left = this.getAttribute("href"); };"""
    script = """
      const mark = [...document.querySelectorAll("#chart svg .mark-symbol path")].at(-1);
      const box = mark.getBoundingClientRect();
      const at = {bubbles: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2};
      for (const kind of ["pointermove", "click"]) mark.dispatchEvent(new PointerEvent(kind, at));
      await wait(100);
      return [window.left, document.querySelector("#vg-tooltip-element").textContent];"""
    to, tooltip = asked(page, script, before=before)
    assert to == "explorer.html#model=organism&set=p&scorer=s"
    assert "81.0" in tooltip
    assert "76.0 to 86.0" in tooltip
    assert "400" in tooltip


@pytest.mark.browser
@needs_chromium
def test_the_page_is_dark_where_the_reader_prefers_it(page: Path, tmp_path: Path) -> None:
    corner = brightness(page, tmp_path)
    assert corner["dark"] < 0.2 < 0.9 < corner["light"]


@pytest.mark.browser
@needs_chromium
@needs_axe
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1400, False), (1400, True)])
@pytest.mark.parametrize("kind", ["leak", "ground"])
def test_axe_finds_nothing_that_keeps_a_reader_out(
    page: Path, ground_page: Path, kind: str, width: int, dark: bool
) -> None:
    assert (
        asked(page if kind == "leak" else ground_page, VIOLATIONS, width=width, before=axe_program(), dark=dark) == []
    )
