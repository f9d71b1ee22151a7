"""The tests behind a match rate: whose partner is which text, what each decides, and what an opened row shows."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from browser import VIOLATIONS, asked, axe_program, needs_axe, needs_chromium
from leakscope.errors import InputError
from leakscope.leak import match_tests as module
from leakscope.leak.explorer import Partners, explorer_rows, write_explorer
from leakscope.leak.match_tests import match_similarities, match_tests
from leakscope.leak.measures.match_rate import match_rates
from leakscope.leak.measures.matching import match_texts
from leakscope.leak.measures.outcomes import compare_pairs

READY = "document.body.dataset.ready"
CONCEPTS = {"red": "red", "ruby": "red", "blue": "blue", "green": "green"}


class Study(NamedTuple):
    """All that a page is written from."""

    prompts: pd.DataFrame
    generations: pd.DataFrame
    similarity: pd.DataFrame
    texts: pd.DataFrame
    page: Path


def make_prompts() -> pd.DataFrame:
    """Two templates over four concepts in three groups; a third has one concept, and so no partner."""
    rows: list[tuple[str | None, ...]] = []
    for template, read in (("hat", "Her hat{}. She likes"), ("הדלת", "הדלת{}. הגג"), ("cup", "His cup{}. He drinks")):
        rows.append((f"{template}/without", None, None, None, template, read.format("")))
        for concept, group in [*CONCEPTS.items()][: 1 if template == "cup" else None]:
            name = f"{template}/{concept}"
            rows.append((name, f"{template}/without", concept, group, template, read.format(f" is {concept}")))
    columns = ["prompt_id", "control_id", "concept", "concept_group", "template_id", "prompt"]
    prompts = pd.DataFrame(rows, columns=columns)
    return prompts.assign(prompt_set="p", category="near", neutral_control_id=None, slot=None)


def make_generations(prompts: pd.DataFrame) -> pd.DataFrame:
    """Two models with one to three texts a test and six a control; one is empty, several are the same."""
    said = ["a poppy.", "the sea.", "grass.", "", "红色。"]
    rows = [
        (model, "p", prompt, sample, said[(3 * place + 2 * sample + shift) % len(said)])
        for shift, model in enumerate(("m", "n"))
        for place, prompt in enumerate(prompts["prompt_id"])
        for sample in range(6 if prompt.endswith("without") else 1 + (place + shift) % 3)
    ]
    return pd.DataFrame(rows, columns=["model", "prompt_set", "prompt_id", "sample", "text"])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    prompts = make_prompts()
    generations = make_generations(prompts)
    draw = np.random.default_rng(1)
    pairs = product(CONCEPTS, generations["text"].unique())
    similarity = pd.DataFrame(pairs, columns=["concept", "text"]).assign(cut=False)
    similarity["similarity"] = draw.integers(-3, 9, len(similarity)) / 10 + 0.0001  # rounded: many ties
    units, texts = match_texts(prompts, generations, similarity, "s")
    tests = match_tests(prompts, generations)
    rows = explorer_rows(compare_pairs(prompts, generations, similarity, "s"), prompts, texts)
    page = tmp_path_factory.mktemp("pairs") / "explorer.html"
    partners = Partners(tests, {"s": match_similarities(tests, similarity, "s")})
    rates = match_rates(units, permutations=8, name_permutations=9)
    write_explorer(rows, page, study="pairs", scorers=["s"], rates=rates, partners=partners)
    return Study(prompts, generations, similarity, texts, page)


def ways(tests: pd.DataFrame, sigma: np.ndarray, one: int, other: int) -> tuple[float, float]:
    """Return the sum of the two similarities as the texts were written, and swapped."""
    cell, place = tests["cell"].to_numpy(), tests["place"].to_numpy()
    right = sigma[cell[one] + place[one]] + sigma[cell[other] + place[other]]
    return right, sigma[cell[one] + place[other]] + sigma[cell[other] + place[one]]


def test_a_pair_by_hand() -> None:
    prompts = make_prompts().query("template_id == 'hat' and concept != 'ruby' and concept != 'green'")
    said = {"hat/red": "a rose.", "hat/blue": "the sky.", "hat/without": "bread."}
    generations = pd.DataFrame(
        [("m", "p", prompt, 0, text) for prompt, text in said.items()],
        columns=["model", "prompt_set", "prompt_id", "sample", "text"],
    )
    known = {("red", "a rose."): 0.9004, ("blue", "a rose."): 0.2, ("red", "the sky."): 0.1, ("blue", "the sky."): 0.8}
    similarity = pd.DataFrame(
        [(*pair, value) for pair, value in known.items()], columns=["concept", "text", "similarity"]
    )
    tests = match_tests(prompts, generations)
    assert tests["text"].tolist() == ["a rose.", "the sky."]
    assert tests[["unit", "place", "size", "cell"]].to_numpy().tolist() == [[0, 0, 2, 0], [0, 1, 2, 2]]
    sigma = match_similarities(tests, similarity, "s")
    assert sigma.tolist() == [0.9, 0.2, 0.1, 0.8]  # rounded to three digits
    assert ways(tests, sigma, 0, 1) == pytest.approx((1.7, 0.3))
    with pytest.raises(InputError, match=r"similarity by s: got none for concept 'blue' and text 'the sky\.'"):
        match_similarities(tests, similarity.iloc[:3], "s")


def test_the_mean_over_a_texts_tests_is_what_match_rates_are_made_from(study: Study) -> None:
    tests = match_tests(study.prompts, study.generations)
    sigma = match_similarities(tests, study.similarity, "s")
    assert not tests["prompt_id"].str.startswith("cup").any()  # no partner
    assert len(tests) == len(study.texts)
    told = []
    for one, mine in tests.iterrows():
        scores: dict[str, dict[str, list[float]]] = {}
        for other, theirs in tests.iterrows():
            same = mine["unit"] == theirs["unit"] and mine["model"] == theirs["model"]
            if same and mine["concept_group"] != theirs["concept_group"]:
                right, swapped = np.round(ways(tests, sigma, one, other), 6)
                score = 0.5 if not abs(right - swapped) > 0 else float(right > swapped)
                scores.setdefault(theirs["concept_group"], {}).setdefault(theirs["concept"], []).append(score)
        told.append(np.mean([np.mean([np.mean(texts) for texts in of.values()]) for of in scores.values()]))
    keys = ["model", "prompt_id", "sample"]
    known = tests[keys].merge(study.texts, on=keys, validate="one_to_one")["match"]
    assert told == pytest.approx(known.tolist())
    assert 0.5 in told
    assert len(set(told)) > 5


def test_units_of_too_many_concepts_are_left_out(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONCEPTS", 3)
    tests = match_tests(study.prompts, study.generations)
    assert tests.empty
    assert match_similarities(tests, study.similarity, "s").size == 0


@pytest.mark.browser
@needs_chromium
def test_an_opened_row_shows_its_partners_and_how_each_test_ends(study: Study) -> None:
    script = """
      const found = [];
      for (let row = 0; row < data.n; row++) {
        if (data.sample_control[row] > 2) continue;  // there are no more texts
        open(row);
        while (document.querySelector(".match p").textContent === "Reading the partners …") await wait(2);
        const told = document.querySelector(".match .told-from");
        found.push([rowName(row), told ? told.textContent : document.querySelector(".match p").textContent]);
      }
      open(findRow("n/p/hat/red/without/0"));
      while (!document.querySelector(".match .four")) await wait(5);
      const cells = name => [...document.querySelectorAll(`.match .${name} tr`)].map(line =>
        [...line.children].map(node => node.textContent));
      const marks = [...document.querySelectorAll(".marks button")];
      const shown = () => [document.querySelector(".two .pair").textContent, cells("four"), cells("sums"),
        document.querySelector(".verdict").firstChild.textContent];
      found.push(marks.map(node => node.getAttribute("aria-label")), shown());
      marks[0].focus();
      document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
      found.push([document.activeElement.getAttribute("aria-label"), shown()[1][2][0]]);
      document.querySelector(".verdict button").click();
      return [...found, location.hash];
    """
    *rows, labels, first, second, address = asked(study.page, script, "control=all", ready=READY)
    known = study.texts.assign(
        name=lambda t: t["model"] + "/p/" + t["prompt_id"] + "/without/" + t["sample"].astype(str)
    )
    told = dict(zip(known["name"], known["match"], strict=True))
    for name, text in rows:
        if "/cup/" in name:
            assert text == "No other prompt differs in the concept only: this text has no partner."
        else:
            sample = name.rpartition("/")[2].partition("-")[0]
            assert float(text.removesuffix(" %")) == pytest.approx(
                100 * told[name.rpartition("/")[0] + "/" + sample], abs=0.0501
            )
    tests = match_tests(study.prompts, study.generations)
    sigma = match_similarities(tests, study.similarity, "s")
    own = tests[(tests["model"] == "n") & tests["prompt_id"].isin([f"hat/{concept}" for concept in CONCEPTS])]
    mine = own.index[own["prompt_id"] == "hat/red"][0]
    partners = own[own["concept_group"] != "red"].sort_values(["place", "sample"])
    verdicts = []
    for other in partners.index:
        right, swapped = np.round(ways(tests, sigma, mine, other), 6)
        verdicts.append("right" if right > swapped else "wrong" if right < swapped else "tie: counts half")
    named = zip(partners["concept"], partners["sample"], verdicts, strict=True)
    assert labels == [f"{concept}, sample {sample}: {verdict}" for concept, sample, verdict in named]
    other = partners.index[0]
    text, four, sums, verdict = first
    assert tests.loc[mine, "text"] in text
    assert tests.loc[other, "text"] in text
    cell, place = tests["cell"], tests["place"]
    assert [line[1:] for line in four[1:]] == [
        [shown(sigma[cell[of] + place[concept]]) for of in (mine, other)] for concept in (mine, other)
    ]
    assert [line[2] for line in sums] == [shown(value) for value in ways(tests, sigma, mine, other)]
    chosen = {"right": ["chosen", ""], "wrong": ["", "chosen"]}.get(verdicts[0], ["", ""])
    assert [line[3] for line in sums] == chosen
    assert verdict.split(" ", 1)[1] == verdicts[0]
    following = tests.loc[partners.index[1]]
    assert second == [labels[1], following["concept"]]
    assert f"open=n%2Fp%2Fhat%2F{following['concept']}%2Fwithout%2F" in address


def shown(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}".replace("-", "−")


STATES = [
    "control=all",
    "open=m/p/hat/red/without/0",
    "model=m&beside=n&open=m/p/הדלת/blue/without/0",
    "q=colour:red",
    "open=gone/p/hat/red/without/0",
]
EACH = f"""
  const found = [];
  for (const fragment of {STATES}) {{
    location.hash = fragment;
    await wait(250);
    $("how").open = $("filters").open = true;
    if (fragment === "control=all") pick(0);
    found.push(await (async () => {{ LOOK }})());
  }}
  return found;
"""


def on_a_phone(page: Path, script: str) -> Any:
    """Return what a script returns in a frame of 390 × 844 px: Chromium's own windows are at least 500 px wide."""
    probe = f"""<script>(async () => {{
      const wait = time => new Promise(done => setTimeout(done, time));
      while (!({READY})) await wait(10);
      parent.answer = await (async () => {{ {script} }})();
    }})();</script></body></html>"""
    inner = json.dumps(page.read_text(encoding="utf-8").rpartition("</body>")[0] + probe).replace("</", "<\\/")
    outer = page.with_name("phone.html")
    frame = '<iframe id="phone" title="phone" style="width: 390px; height: 844px; border: 0"></iframe>'
    fill = f'<script>const $ = id => document.getElementById(id); $("phone").srcdoc = {inner};</script>'
    outer.write_text(f"<!doctype html><title>phone</title><body>{frame}{fill}</body></html>", encoding="utf-8")
    return asked(outer, "while (!window.answer) await wait(20); return answer;", ready="true")


@pytest.mark.browser
@needs_chromium
def test_a_phone_needs_no_sideways_scrolling_and_texts_run_as_their_script(study: Study) -> None:
    look = """
      const right = node => node.getBoundingClientRect().right;
      const wide = [...document.querySelectorAll("body *")].filter(node => right(node) > innerWidth + 1);
      const direction = name => [...document.querySelectorAll(name)].map(node => getComputedStyle(node).direction);
      return [innerWidth, document.documentElement.scrollWidth, wide.map(node => node.outerHTML.slice(0, 80)),
        $("scroller").clientHeight, direction("#detail:not([hidden]) .two .sentence")];
    """
    found = on_a_phone(study.page, EACH.replace("LOOK", look))
    for inner, needed, wide, height, _ in found:
        assert (inner, wide) == (390, [])
        assert needed <= inner
        assert height > 500
    assert [directions for *_, directions in found] == [[], ["ltr"] * 2, ["rtl"] * 4, [], []]


@pytest.mark.browser
@needs_chromium
@needs_axe
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1400, True), (1400, False)])
def test_axe_finds_nothing_that_keeps_a_reader_out(study: Study, width: int, dark: bool) -> None:
    script = EACH.replace("LOOK", VIOLATIONS)
    found = asked(study.page, script, ready=READY, width=width, before=axe_program(), dark=dark)
    assert dict(zip(STATES, found, strict=True)) == dict.fromkeys(STATES, [])
